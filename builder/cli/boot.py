"""`rootfs-builder boot`: a disk as a machine, with the process's own output and exit status."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from builder.actions.boot import boot as boot_disk
from builder.actions.boot import boot_command
from builder.actions.boot_console import console_command
from builder.actions.booting import BootOptions
from builder.cli.command import Command
from builder.cli.console import Console
from builder.cli.options import all_of, build_options, table_option
from builder.cli.types import DIRECTORY, DISK, FILE, Parsed
from builder.errors import UsageError
from builder.form import parse_size
from builder.guest.options import VARIABLE
from builder.vm.qemu import MACHINES, Forward
from builder.vm.vmms import VMMS
from builder.words import quoted

_SECONDS = re.compile(r"\d{1,9}(?:\.\d{1,9})?", re.ASCII)
# What the table says of registries, for a disk that is in one.
_REGISTRY = ("max-size", "authfile", "cert-dir", "tls-verify", "verify-key")
_NAMES = tuple(name.replace("-", "_") for name in _REGISTRY)
_PORT = re.compile(r"(\d{1,5}):(\d{1,5})(?:/(tcp|udp))?", re.ASCII)


def parse_forward(text: str) -> Forward:
    """Read `HOST:GUEST[/udp]`. Raises UsageError."""
    match = _PORT.fullmatch(text)
    if match is None or not all(0 < int(port) < 65536 for port in match.group(1, 2)):
        raise UsageError(f"{quoted(text)} is no HOST:GUEST[/udp] of two ports")
    return Forward(int(match[1]), int(match[2]), match[3] or "tcp")


def parse_timeout(text: str) -> float:
    """Read a time in seconds. Raises UsageError."""
    if not _SECONDS.fullmatch(text) or float(text) == 0:
        raise UsageError(f"{quoted(text)} is no number of seconds; write it as 60 or 1.5")
    return float(text)


@click.command(cls=Command)
@click.argument("disk", type=DISK)
@click.argument("args", metavar="[-- ARG...]", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--vmm",
    type=click.Choice(list(VMMS)),
    default="qemu",
    show_default=True,
    help="What runs the machine; but for qemu it needs KVM.",
)
@click.option(
    "--machine",
    type=click.Choice(list(MACHINES)),
    help="Kind of machine; by default microvm, q35 for several processors, or virt on arm64.",
)
@click.option("--kernel", type=FILE, help="Kernel; by default the newest of /boot.")
@click.option("--modules", type=DIRECTORY, help="Modules of the kernel, as /lib/modules/VERSION.")
@click.option("--initrd", type=FILE, help="Initramfs; by default one made of the modules.")
@click.option(
    "--memory",
    type=Parsed("size", parse_size),
    default="256M",
    show_default=True,
    metavar="SIZE",
    help="Memory of the machine.",
)
@click.option(
    "--cpus", "vcpus", type=click.IntRange(1, 255), default=1, show_default=True, metavar="NUMBER", help="Processors."
)
@click.option("--append", multiple=True, metavar="TEXT", help="Words for the kernel's command line.  [may be repeated]")
@click.option(
    "--port",
    "forwards",
    multiple=True,
    type=Parsed("port", parse_forward),
    metavar="HOST:GUEST[/udp]",
    help="Forward a port of this machine's loopback to the guest.  [may be repeated]",
)
@click.option(
    "--env",
    multiple=True,
    type=Parsed("variable", VARIABLE.parse),
    metavar=VARIABLE.shown,
    help="Set a variable; without VALUE, as it is here.  [may be repeated]",
)
@click.option("--data", type=FILE, help="An ext4 disk that keeps what the guest writes to a read-only root.")
@click.option("--metadata", type=FILE, help="Metadata of DISK, with its root hash; by default DISK.json, if there.")
@click.option("--writable", is_flag=True, help="Let the guest write to DISK; else it stays as it is.")
@click.option(
    "--timeout",
    type=Parsed("seconds", parse_timeout),
    metavar="SECONDS",
    help="End the machine after so long, with status 124.",
)
@click.option("--expect", metavar="TEXT", help="End the machine, with status 0, as soon as the process prints this.")
@click.option("--dry-run", is_flag=True, help="Only print the command.")
@all_of(*map(table_option, _REGISTRY))
@click.pass_obj
def boot(console: Console, /, disk: Path | str, args: Sequence[str], dry_run: bool, **said: Any) -> None:
    """Boot DISK under QEMU, and exit with its process's status.

    DISK is one that `build --init auto` made. Standard input, output and error are the process's;
    -v shows the console as well: the words of the kernel, of init, and of an init of the image's
    own, such as systemd. ARG... take the place of the image's Cmd. Ctrl-C sends the process its
    stop signal. Nothing needs root; KVM is used where it works. A disk in a registry is fetched,
    and is here as long as it runs; `pull` keeps it.

    \b
    Examples:
      rootfs-builder boot web.ext4 --port 8080:80
      rootfs-builder boot alpine.erofs -- /bin/sh -c 'cat /etc/os-release'
      rootfs-builder boot app.ext4 --timeout 60 --expect 'ready for connections'
      rootfs-builder boot docker://registry.example/disks/web:1.0 --port 8080:80
    """
    registry = build_options(**{name: said.pop(name) for name in _NAMES})
    append = tuple(said.pop("append"))
    options = BootOptions(args=tuple(args), append=append, show_console=console.verbose, **said)
    with ExitStack() as stack:
        if isinstance(disk, str):
            if dry_run:
                raise UsageError(f"{disk}: is not here; pull it, and name that for --dry-run")
            # Here, because it imports an HTTP client, which nobody else should wait for.
            from builder.actions.boot_remote import fetched_disk

            fetched = fetched_disk(disk, options, registry.access, registry.limits, console.listener())
            disk = stack.enter_context(fetched)
            # What is printed from here on is the guest's.
            console.end()
        elif registry.access.verify_key is not None:
            raise UsageError(f"--verify-key: {disk}: signatures can be had of a disk in a registry (docker://) only")
        if dry_run:
            qemu = options.vmm == "qemu"
            command = shlex.join(boot_command(disk, options)) if qemu else console_command(disk, options)
            console.answer(os.fsencode(command))
            return
        ended = boot_disk(disk, options)
        # What init says may be why: a status alone tells nobody what failed.
        console.quiet = console.quiet and ended.status == 0
        for words in ended.words:
            console.notice(words)
        click.get_current_context().exit(ended.status)
