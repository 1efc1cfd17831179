"""A disk run as a machine: its process's own streams and status, and nothing written to the disk."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from builder.actions.boot_cache import TEMPORARY, boot_cache, boot_initramfs, kvm_runs
from builder.actions.boot_console import boot_on_console
from builder.actions.boot_failures import of_guest, of_output, of_qemu
from builder.actions.booting import (
    LOOK_SECONDS,
    NO_SELF_TESTS,
    Booted,
    BootOptions,
    DiskCorrupt,
    Expected,
    Halted,
    architecture_here,
    check_progress,
    check_readable,
    check_writable,
    chosen_kernel,
    format_of,
    on_the_line,
    verity_of,
)
from builder.errors import ToolFailed, UsageError
from builder.exact import write_next
from builder.files.descriptors import nameless, path_of
from builder.guest.initramfs import options_archive
from builder.guest.kernel_line import ROOT_DISK, kernel_line, root_words
from builder.output.failures import failures_named
from builder.signals import signals_given_to
from builder.tool import run_tool
from builder.vm.channels import Channels
from builder.vm.kernels import is_bzimage
from builder.vm.machine import MachineOptions, Root
from builder.vm.qemu import MACHINES, NETWORK, Guest, machine_for, qemu_argv


def boot(disk: Path, options: BootOptions, streams: tuple[int, int, int] = (0, 1, 2)) -> Booted:
    """Boot `disk` until its process ends, which gets `streams` as its 0, 1 and 2.

    SIGINT and SIGTERM ask the guest to end as its image wants to be asked; a second one ends it at once. Raises
    GuestFailed, GuestTimedOut, MachineEnded, DiskCorrupt, DiskDamaged, NoInit, PortTaken, FileUnreadable, OutputError
    for standard output that takes no more, and MissingRequirement for what has to be installed, or may not be read.
    """
    if options.vmm != "qemu":
        return boot_on_console(disk, options, streams[1], streams[2])
    with _prepared(disk, options) as guest:
        channels = Channels(*streams, options.show_console, options.expect)
        started = time.monotonic()

        def look() -> None:
            channels.handed_over()
            check_progress(disk, options, started, channels.expected, channels.halted)

        asked, complaints = False, ""

        def stop(signal: int) -> None:
            nonlocal asked
            if asked:  # whoever asks again does not want to wait for the process
                raise SystemExit(128 + signal)
            asked = True
            channels.ask_to_stop()

        try:
            with signals_given_to(stop), failures_named(advice=TEMPORARY):
                argv = qemu_argv(guest, channels.ports, channels.console)
                handed = [*guest.inherited, *channels.descriptors]
                done = run_tool(argv, inherited=handed, environment=_temporary(), watch=look, every=LOOK_SECONDS)
            complaints = done.stderr
        except Expected:
            return Booted(0)
        except Halted:
            pass  # a guest that has halted counts as one that has ended
        except ToolFailed as error:
            raise of_qemu(error) from error
        finally:
            channels.handed_over()
            channels.end_input()
        channels.finish()
    return _outcome(disk, options, channels, complaints)


def _outcome(disk: Path, options: BootOptions, channels: Channels, complaints: str) -> Booted:
    """Tell how a guest ended by what it and QEMU said. Raises what `boot` raises of a guest."""
    if channels.expected:
        return Booted(0)
    if channels.status is None and channels.corrupt:
        raise DiskCorrupt(disk, channels.corrupt)
    if channels.status is None:
        raise of_guest(disk, channels.last_words, options, complaints)
    if channels.lost:
        raise of_output(channels.lost) from channels.lost
    corrupt = (f"{disk}: {channels.corrupt} is not what its root hash says",) if channels.corrupt else ()
    return Booted(channels.status, (*channels.init_words, *corrupt))


def boot_command(disk: Path, options: BootOptions) -> list[str]:
    """Return a command that boots `disk` as `boot` does under QEMU, with the guest's console for standard output."""
    with _prepared(disk, on_the_line(options)) as guest:
        return qemu_argv(replace(guest, line=guest.line.replace(" rb.ports", "")), {})


@contextmanager
def _prepared(disk: Path, options: BootOptions) -> Iterator[Guest]:
    """Gather what the machine is started with; the initramfs lasts as long as the context."""
    check_readable(disk, options)
    machine = MACHINES[options.machine] if options.machine else machine_for(architecture_here(), options.vcpus)
    format_ = format_of(disk)
    kernel, modules = chosen_kernel(options)
    # QEMU would start it, and wait for ever.
    if machine.image_architecture != "amd64" and is_bzimage(kernel):
        raise UsageError(f"{kernel}: is a kernel for amd64; name one for {machine.image_architecture} with --kernel")
    verity = verity_of(disk, options)
    root = Root(disk, format_, machine.image_architecture, init=True, verity=verity)
    said = MachineOptions(memory=options.memory, data=options.data, writable=options.writable)
    said.check(root)
    check_writable(said, root)
    # What dm-verity finds, it says as an error.
    quiet = ["quiet", f"loglevel={4 if verity else 3}"]
    words = [f"console={machine.console}", "panic=-1", *machine.words, *([] if options.show_console else quiet)]
    table = verity.table(ROOT_DISK) if verity else None
    words += [NO_SELF_TESTS, "rb.ports", *root_words(format_, options.writable, table=table), NETWORK]
    words += ["rb.data=/dev/vdb"] if options.data else []
    line = kernel_line(words, options.append)
    with ExitStack() as stack:
        cache = boot_cache(stack)
        initrd = options.initrd or boot_initramfs(
            machine.image_architecture, machine.drivers, format_, options, line, modules, cache
        )
        inherited: list[int] = []
        if options.args or options.env:
            more = options_archive(options.args, options.env)
            inherited.append(stack.enter_context(_nameless(initrd.read_bytes() + more)))
            initrd = path_of(inherited[0])
        guest = Guest(
            machine=machine,
            kernel=kernel,
            initrd=initrd,
            line=line,
            disks=said.disks(root),
            memory=options.memory,
            vcpus=options.vcpus,
            forwards=options.forwards,
            network=True,
            inherited=inherited,
        )
        yield replace(guest, kvm=machine.runs_here and kvm_runs(guest, cache))


def _temporary() -> dict[str, str]:
    """Have QEMU keep what a guest writes in TMPDIR; where that is not set or no use, QEMU chooses a place itself."""
    place = os.environ.get("TMPDIR", "")
    return {"TMPDIR": place} if os.path.isabs(place) and os.access(place, os.W_OK | os.X_OK) else {}


@contextmanager
def _nameless(content: bytes) -> Iterator[int]:
    """Put content into a file that has no name, so that nothing of it stays behind; yield its descriptor."""
    fd = nameless("initramfs")
    try:
        write_next(fd, content)
        yield fd
    finally:
        os.close(fd)
