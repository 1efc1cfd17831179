"""QEMU: a machine as a shell script, whose console is the terminal that it is started from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from builder.vm.machine import MachineOptions, Root, path_from
from builder.vm.qemu import (
    CONSOLE,
    GUEST_ADDRESS,
    NETWORK,
    Guest,
    board_argv,
    machine_for,
    network_argv,
    processor_argv,
)
from builder.vm.script import quoted_words, script
from builder.vm.vmm import Configuration, Vmm

_ABOUT = (
    "Boots a disk under QEMU, with this terminal as its console. Arguments go to QEMU.",
    "ACCEL=kvm or ACCEL=tcg says how; by default it is KVM where /dev/kvm can be opened, and else emulated (tcg).",
    "FORWARD=8080:80 makes port 80 of the guest port 8080 of this machine's loopback.",
)
_CHOICES = """\
if [ -z "$ACCEL" ]; then
  ACCEL=tcg
  if [ "$(uname -m)" = {architecture} ] && [ -r /dev/kvm ] && [ -w /dev/kvm ]; then ACCEL=kvm; fi
fi
case $ACCEL in
kvm) processor='{kvm}' ;;
tcg) processor='{tcg}' ;;
*) echo "$0: ACCEL is kvm or tcg, and not $ACCEL" >&2; exit 2 ;;
esac
forward=${{FORWARD:+,hostfwd=tcp:127.0.0.1:${{FORWARD%%:*}}-{address}:${{FORWARD#*:}}}}
"""


def shell_script(root: Root, machine: MachineOptions, folder: Path) -> Configuration:
    """Return a script, to stand in `folder`, that runs QEMU. Raises UsageError."""
    kernel, _ = QEMU.payload(root, machine)
    kind = machine_for(root.architecture, machine.vcpus)

    def from_here(path: Path) -> Path:
        return Path(path_from(path, folder))

    # Before the user's words: of an ip= that comes twice, Linux and init take the last.
    line = QEMU.line(root, replace(machine, append=(NETWORK, *kind.words, *machine.append)))
    guest = Guest(
        machine=kind,
        kernel=from_here(kernel),
        initrd=from_here(root.initrd) if root.initrd else None,
        line=line,
        disks=[(from_here(path), writable) for path, writable in machine.disks(root)],
        memory=machine.memory,
        vcpus=machine.vcpus,
    )
    choices = _CHOICES.format(
        architecture=kind.architecture,
        kvm=" ".join(processor_argv(guest, kvm=True)),
        tcg=" ".join(processor_argv(guest, kvm=False)),
        address=GUEST_ADDRESS,
    )
    # These words hold nothing that would need quotes but what the shell is to put into them.
    network = [f'"{word}"' if "$" in word else word for word in network_argv(kind, "$forward")]
    command = [kind.program, "$processor", *quoted_words((*board_argv(guest), *CONSOLE)), *network]
    return script(_ABOUT, choices, command)


QEMU = Vmm(
    name="QEMU",
    consoles={architecture: machine_for(architecture, 1).console for architecture in ("amd64", "arm64")},
    # The restart after a panic ends it.
    words=("panic=-1",),
    most_vcpus=255,
    configure=lambda root, machine, file: shell_script(root, machine, file.parent),
)
