"""QEMU: a machine as a command line."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Machine:
    """A kind of machine of QEMU's: who emulates it, how its devices are attached, and its console's name in Linux.

    `emulated` are arguments for when no processor of its kind runs it.
    """

    architecture: str
    name: str
    bus: str
    console: str
    cpu: str = "max"
    emulated: tuple[str, ...] = ()

    @property
    def image_architecture(self) -> str:
        """The architecture as image configs have it."""
        return {"x86_64": "amd64", "aarch64": "arm64"}[self.architecture]

    @property
    def runs_here(self) -> bool:
        """Whether this machine's own processor could run it."""
        return os.uname().machine == self.architecture

    @property
    def program(self) -> str:
        """The program that emulates it."""
        return f"qemu-system-{self.architecture}"


MACHINES: Mapping[str, Machine] = {
    # It has no clock but the processor's: unless time counts instructions, Linux fails to calibrate that on a busy
    # machine, and hangs.
    "microvm": Machine("x86_64", "microvm", "device", "ttyS0", emulated=("-icount", "shift=3")),
    "q35": Machine("x86_64", "q35", "pci", "ttyS0"),
    "virt": Machine("aarch64", "virt", "pci", "ttyAMA0"),
}


@dataclass(frozen=True, slots=True)
class Forward:
    """A port of this machine's loopback that leads to one of the guest's."""

    host: int
    guest: int
    protocol: str = "tcp"


@dataclass(frozen=True, slots=True)
class Guest:
    """All that a machine is started with: `memory` in bytes, `line` for the kernel, disks as (path, writable).

    `inherited` are descriptors that paths of it lead through.
    """

    machine: Machine
    kernel: Path
    initrd: Path | None
    line: str
    disks: Sequence[tuple[Path, bool]]
    memory: int
    vcpus: int
    kvm: bool = False
    forwards: Sequence[Forward] = field(default_factory=tuple)
    network: bool = False
    inherited: Sequence[int] = ()


def qemu_argv(guest: Guest, channels: Mapping[str, int], console: int | None = None) -> list[str]:
    """Return the command that runs `guest`.

    `channels` are virtio ports by name, each connected to an inherited socket by its descriptor, as is the serial
    `console`; without one that is standard output.
    """
    machine = guest.machine
    argv = [
        machine.program,
        *("-M", f"{machine.name},accel={'kvm' if guest.kvm else 'tcg'}"),
        *("-cpu", "host" if guest.kvm else machine.cpu),
        *(() if guest.kvm else machine.emulated),
        *("-m", f"{guest.memory >> 20}M"),
        *("-smp", str(guest.vcpus)),
        *("-nodefaults", "-no-user-config", "-display", "none"),
        "-no-reboot",  # a panic restarts, and so ends it
        *("-kernel", str(guest.kernel)),
        *(("-initrd", str(guest.initrd)) if guest.initrd else ()),
        *("-append", guest.line),
    ]
    if console is None:
        argv += ["-serial", "stdio"]
    else:
        argv += ["-chardev", f"socket,id=console,fd={console}", "-serial", "chardev:console"]
    for number, (path, writable) in enumerate(guest.disks):
        # What is not written to is opened for reading only; a guest that writes all the same writes to nothing.
        state = "" if writable else ",snapshot=on"
        argv += ["-drive", f"id=disk{number},file={_escaped(path)},format=raw,if=none{state}"]
        argv += ["-device", f"virtio-blk-{machine.bus},drive=disk{number}"]
    if channels:
        argv += ["-device", f"virtio-serial-{machine.bus}"]
    for name, fd in channels.items():
        argv += ["-chardev", f"socket,id={name},fd={fd}", "-device", f"virtserialport,chardev={name},name={name}"]
    if guest.network:
        rules = "".join(
            f",hostfwd={each.protocol}:127.0.0.1:{each.host}-10.0.2.15:{each.guest}" for each in guest.forwards
        )
        argv += ["-netdev", f"user,id=network{rules}", "-device", f"virtio-net-{machine.bus},netdev=network"]
    return argv


def _escaped(path: Path) -> str:
    """Write a path as a value of QEMU's options, where a comma ends it unless it is doubled."""
    return str(path).replace(",", ",,")
