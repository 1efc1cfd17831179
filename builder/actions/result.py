"""What a build gives back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

from builder.disk.filesystem import DiskFacts
from builder.guest.facts import GuestFacts
from builder.image.image import Image
from builder.vm import cloud_hypervisor, firecracker, qemu_script
from builder.vm.machine import MachineOptions, Root


class Wishes(TypedDict, total=False):
    """Settings of a machine, as in MachineOptions; and its `initrd`, if it is not the one that was built."""

    memory: int
    vcpus: int
    data: Path | None
    writable: bool
    append: tuple[str, ...]
    initrd: Path | None


@dataclass(frozen=True, slots=True)
class BuildResult:
    """A disk: where it is, of which image, what the tools made of it, and what it is to a machine.

    It is not `built` if it was there already, and would have come out the same. Configurations of machines are for VMMs
    started in `folder`, by default the disk's own, and scripts stand there; making one raises UsageError. `pushed` is
    the disk's name in a registry, by digest.
    """

    output: Path
    image: Image
    disk: DiskFacts
    root: Root
    guest: GuestFacts | None = None
    built: bool = True
    pushed: str | None = None

    def firecracker(self, kernel: Path | str, folder: Path | None = None, **wishes: Unpack[Wishes]) -> dict[str, Any]:
        """Return the configuration that Firecracker reads, as JSON values."""
        return firecracker.document(*self._machine(kernel, wishes), folder or self.output.parent)

    def cloud_hypervisor(
        self, kernel: Path | str, folder: Path | None = None, **wishes: Unpack[Wishes]
    ) -> dict[str, Any]:
        """Return the VmConfig that cloud-hypervisor's API takes, as JSON values."""
        return cloud_hypervisor.document(*self._machine(kernel, wishes), folder or self.output.parent)

    def cloud_hypervisor_script(self, kernel: Path | str, folder: Path | None = None, **wishes: Unpack[Wishes]) -> str:
        """Return a shell script that runs cloud-hypervisor."""
        return cloud_hypervisor.shell_script(*self._machine(kernel, wishes), folder or self.output.parent).text

    def qemu(self, kernel: Path | str, folder: Path | None = None, **wishes: Unpack[Wishes]) -> str:
        """Return a shell script that runs QEMU."""
        return qemu_script.shell_script(*self._machine(kernel, wishes), folder or self.output.parent).text

    def _machine(self, kernel: Path | str, wishes: Wishes) -> tuple[Root, MachineOptions]:
        said: dict[str, Any] = {"kernel": Path(kernel), **wishes}
        root = replace(self.root, initrd=said.pop("initrd", self.root.initrd))
        return root, MachineOptions(**said)
