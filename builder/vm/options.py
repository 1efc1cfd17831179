"""What a user can say of the machine that a disk is for, and of who is to run it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from builder.errors import UsageError
from builder.form import Form
from builder.option import MACHINE, option
from builder.vm.kernels import is_bzimage
from builder.vm.machine import MachineOptions, Root
from builder.vm.vmm import Configuration
from builder.vm.vmms import VMMS
from builder.words import quoted


@dataclass(frozen=True, slots=True)
class VmConfig:
    """A configuration to write to `file`, for a key of VMMS. Raises UsageError for another."""

    vmm: str
    file: Path

    def __post_init__(self) -> None:
        if self.vmm not in VMMS:
            raise UsageError(f"{quoted(self.vmm, 100)} is no VMM; choose one of {', '.join(VMMS)}")
        # Python may have said text.
        object.__setattr__(self, "file", Path(self.file))


def parse_vm_config(text: str) -> VmConfig:
    """Read `VMM=FILE`. Raises UsageError."""
    vmm, _, file = text.partition("=")
    if not file:
        raise UsageError(f"{quoted(text)} is no VMM=FILE; a VMM is one of {', '.join(VMMS)}")
    return VmConfig(vmm, Path(file))


def write_vm_config(config: VmConfig) -> str:
    """Write what `parse_vm_config` reads."""
    return f"{config.vmm}={config.file}"


VM_CONFIG = Form("VMM=FILE", parse_vm_config, write_vm_config)


@dataclass(frozen=True, slots=True)
class VmOptions:
    """The machine that a disk is for, and the configurations of it that are written with the disk."""

    vm_config: tuple[VmConfig, ...] = option(
        (), VM_CONFIG, MACHINE, f"Write how to run the disk here; VMM is {', '.join(VMMS)}.", repeats=True
    )
    machine: MachineOptions = field(default_factory=MachineOptions)

    def check(self, outputs: Iterable[Path]) -> None:
        """Raise UsageError for a machine without a configuration to say it in, and for what would be written over."""
        if self != self.if_configured():
            raise UsageError("--kernel, --memory and --vcpus are for --vm-config: add it, or leave them out")
        read = {os.path.realpath(path): path for path in (self.machine.kernel, self.machine.data) if path}
        for place in read.values():
            # Such as the current directory, which is what an empty variable of a Makefile names.
            if os.path.exists(place) and not (place.is_file() or place.is_block_device()):
                raise UsageError(f"{place}: is no file that a machine can read; name a file")
        for output in outputs:
            if path := read.get(os.path.realpath(output)):
                raise UsageError(f"{path}: is for the machine, and would be written over; give the output another name")

    def if_configured(self) -> VmOptions:
        """Return these options, without what only a configuration would tell, if there is none."""
        default = MachineOptions()
        machine = replace(self.machine, kernel=None, memory=default.memory, vcpus=default.vcpus)
        return self if self.vm_config else replace(self, machine=machine)

    def remarks(self) -> Iterator[str]:
        """Say what will be in the way of a machine that is started as things are now."""
        for path in (self.machine.kernel, self.machine.data) if self.vm_config else ():
            if path and not os.path.exists(path):
                yield f"{path}: is not there yet; the machine wants it"
        if self.machine.kernel and "firecracker" in (config.vmm for config in self.vm_config):
            with suppress(OSError):
                if is_bzimage(self.machine.kernel):
                    yield f"{self.machine.kernel}: is a compressed kernel; Firecracker up to 1.16 wants its vmlinux"

    def check_root(self, root: Root) -> None:
        """Raise UsageError for a disk that cannot be run as said."""
        self.lines(root)
        list(self.configurations(root))

    def configurations(self, root: Root) -> Iterator[tuple[Path, Configuration]]:
        """Make each configuration. Raises UsageError for what cannot be run so."""
        for config in self.vm_config:
            try:
                # Paths are relative to where it really is.
                place = Path(os.path.realpath(config.file))
                yield config.file, VMMS[config.vmm].configure(root, self.machine, place)
            except UsageError as error:
                raise UsageError(f"--vm-config {write_vm_config(config)}: {error}") from error

    def lines(self, root: Root) -> dict[str, str]:
        """Return the kernel's command line by the keys of VMMS, for those that run such disks."""
        return {name: vmm.line(root, self.machine) for name, vmm in VMMS.items() if root.architecture in vmm.consoles}
