"""QEMU: a machine as a command line."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Machine:
    """A kind of machine of QEMU's: who emulates it, how its devices are attached, and its console's name in Linux.

    Where no processor of its kind runs it, it has a `cpu` of QEMU's, and where there are further arguments `emulated`,
    a single one. `words` are for its kernel.
    """

    architecture: str
    name: str
    bus: str
    console: str
    cpu: str
    emulated: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    @property
    def image_architecture(self) -> str:
        """The architecture as image configs have it."""
        return {"x86_64": "amd64", "aarch64": "arm64"}[self.architecture]

    @property
    def runs_here(self) -> bool:
        """Whether this machine's own processor could run it."""
        return os.uname().machine == self.architecture

    @property
    def drivers(self) -> tuple[str, ...]:
        """The kernel modules of its devices."""
        transport = {"device": "virtio_mmio", "pci": "virtio_pci"}[self.bus]
        return (transport, "virtio_blk", "virtio_net", "virtio_console")

    @property
    def program(self) -> str:
        """The program that emulates it."""
        return f"qemu-system-{self.architecture}"


# Emulated, the instruction that fills or copies a byte at a time takes a step of the emulator's for each byte: Linux
# uses it where the processor calls it fast, and that was a third of all steps of a boot. And pointers signed by arm64's
# own algorithm took three quarters of a boot.
_X86, _ARM = "max,-erms,-fsrm", "max,pauth-impdef=on"

MACHINES: Mapping[str, Machine] = {
    # It has no clock but the processor's: unless time counts instructions, Linux fails to calibrate that on a busy
    # machine, and hangs; and if it does, Linux waits for ever for a second processor.
    "microvm": Machine("x86_64", "microvm", "device", "ttyS0", _X86, emulated=("-icount", "shift=3")),
    # Linux counts the ticks of its first 100 ms, and panics where a busy machine let the emulator have none.
    "q35": Machine("x86_64", "q35", "pci", "ttyS0", _X86, words=("no_timer_check",)),
    "virt": Machine("aarch64", "virt", "pci", "ttyAMA0", _ARM),
}


# The guest's address on QEMU's own network, as Linux and init are told of it: the way out, and the name server.
GUEST_ADDRESS = "10.0.2.15"
NETWORK = f"ip={GUEST_ADDRESS}::10.0.2.2:255.255.255.0:::off:10.0.2.3"
CONSOLE = ("-serial", "stdio")


def machine_for(architecture: str, vcpus: int) -> Machine:
    """Return the least machine for an image's architecture, amd64 or arm64, that can be emulated, too."""
    machines = (machine for machine in MACHINES.values() if machine.image_architecture == architecture)
    return next(machine for machine in machines if vcpus == 1 or not machine.emulated)


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
    argv = [machine.program, *processor_argv(guest, guest.kvm), *board_argv(guest)]
    if console is None:
        argv += CONSOLE
    else:
        argv += ["-chardev", f"socket,id=console,fd={console}", "-serial", "chardev:console"]
    if channels:
        # Queues for more ports than there are, 31, would be set up one by one; port 0 is kept for a console.
        argv += ["-device", f"virtio-serial-{machine.bus},max_ports={len(channels) + 1}"]
    for number, (name, fd) in enumerate(channels.items(), start=1):
        # Init takes the ports by their numbers (guest/init/ports.c).
        port = f"virtserialport,chardev={name},name={name},nr={number}"
        argv += ["-chardev", f"socket,id={name},fd={fd}", "-device", port]
    if guest.network:
        rules = "".join(
            f",hostfwd={each.protocol}:127.0.0.1:{each.host}-{GUEST_ADDRESS}:{each.guest}" for each in guest.forwards
        )
        argv += network_argv(machine, rules)
    return argv


def processor_argv(guest: Guest, kvm: bool) -> list[str]:
    """Return the arguments that choose the machine, and who are its processors."""
    machine = guest.machine
    if kvm:
        return ["-M", f"{machine.name},accel=kvm", "-cpu", "host", "-smp", str(guest.vcpus)]
    vcpus = 1 if machine.emulated else guest.vcpus
    return ["-M", f"{machine.name},accel=tcg", "-cpu", machine.cpu, *machine.emulated, "-smp", str(vcpus)]


def board_argv(guest: Guest) -> list[str]:
    """Return the arguments for memory, kernel and disks."""
    argv = [
        *("-m", f"{guest.memory >> 20}M"),
        *("-nodefaults", "-no-user-config", "-display", "none"),
        "-no-reboot",  # a panic restarts, and so ends it
        *("-kernel", _named(guest.kernel)),
        *(("-initrd", _named(guest.initrd)) if guest.initrd else ()),
        *("-append", guest.line),
    ]
    for number, (path, writable) in enumerate(guest.disks):
        # What is not written to is opened for reading only; a guest that writes all the same writes to nothing.
        state = "" if writable else ",snapshot=on"
        # In QEMU's options, a comma ends a value unless it is doubled.
        file = _named(path).replace(",", ",,")
        # The guest hears of a full drive as of any other fault; else QEMU would stop it, in silence and for good.
        argv += ["-drive", f"id=disk{number},file={file},format=raw,if=none,werror=report{state}"]
        argv += ["-device", f"virtio-blk-{guest.machine.bus},drive=disk{number}"]
    return argv


def network_argv(machine: Machine, rules: str) -> list[str]:
    """Return the arguments for QEMU's own network, which needs no root; `rules` are for ports, each after a comma."""
    return ["-netdev", f"user,id=network{rules}", "-device", f"virtio-net-{machine.bus},netdev=network"]


def _named(path: Path) -> str:
    """Write a path so that QEMU finds no protocol in it, as in `a:b`, and no option, as in `-a`."""
    return str(path) if str(path).startswith(("/", "../")) else f"./{path}"
