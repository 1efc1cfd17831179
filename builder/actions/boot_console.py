"""A disk run under Firecracker or cloud-hypervisor, which have a console only: the streams of its process share it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from builder.actions.boot_cache import TEMPORARY, boot_cache, boot_initramfs, temporary
from builder.actions.boot_failures import of_output
from builder.actions.booting import (
    LOOK_SECONDS,
    NO_SELF_TESTS,
    Booted,
    BootOptions,
    Expected,
    GuestFailed,
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
from builder.errors import MissingRequirement, ToolFailed, ToolMissing, UsageError
from builder.guest.initramfs import options_archive
from builder.output.failures import failures_named
from builder.signals import signals_given_to
from builder.tool import find_tool, run_tool
from builder.vm.console import Console
from builder.vm.machine import MachineOptions, Root
from builder.vm.runner import Runner
from builder.vm.vmms import VMMS

KVM = Path("/dev/kvm")


def boot_on_console(disk: Path, options: BootOptions, stdout: int, stderr: int) -> Booted:
    """Boot `disk` until its process ends; what that prints goes to `stdout`, and it reads nothing.

    SIGINT and SIGTERM ask the guest to end. Raises UsageError for what this VMM cannot do, MissingRequirement where it
    or KVM is not there, GuestFailed, GuestTimedOut, FileUnreadable, and OutputError for standard output that takes no
    more.
    """
    runner = runner_of(options)
    _check_requirements(runner)
    asked: list[int] = []
    with _prepared(disk, options, runner) as (root, machine, place):
        with failures_named(place, TEMPORARY):
            argv = runner.command(root, machine, place)
        console = Console(stdout, stderr if options.show_console else None, options.expect)
        started = time.monotonic()

        def look() -> None:
            if console.panicked:
                raise GuestFailed(disk, list(console.last_words))
            check_progress(disk, options, started, console.expected, console.halted)
            if asked:
                asked.clear()
                _stop(runner, place, disk)

        failure: ToolFailed | None = None
        try:
            with signals_given_to(asked.append), failures_named(advice=TEMPORARY):
                run_tool(argv, stdout=console.end, watch=look, every=LOOK_SECONDS)
        except Expected:
            return Booted(0)
        except Halted:
            pass  # a guest that has halted counts as one that has ended
        except ToolFailed as error:
            failure = error
        finally:
            console.finish()
    # A VMM may fail after its guest has ended well. All that the guest said is read by now, and counts.
    if failure is not None and console.status is None:
        raise failure
    return _outcome(disk, console)


def _outcome(disk: Path, console: Console) -> Booted:
    """Tell how a guest ended by what it said. Raises what `boot_on_console` raises of a guest."""
    if console.expected:
        return Booted(0)
    if console.status is None:
        raise GuestFailed(disk, list(console.last_words))
    if console.lost:
        raise of_output(console.lost) from console.lost
    return Booted(console.status, tuple(console.init_words))


def console_command(disk: Path, options: BootOptions) -> str:
    """Return shell that boots `disk` as `boot_on_console` does, with all words on standard output."""
    runner = runner_of(options)
    with _prepared(disk, on_the_line(options), runner) as (root, machine, _):
        return runner.shown(root, machine)


def runner_of(options: BootOptions) -> Runner:
    """Return how to run what `options` ask for. Raises UsageError for what this VMM cannot do."""
    runner = VMMS[options.vmm].runner
    if runner is None:
        raise UsageError(f"{options.vmm} is run otherwise")
    if options.forwards:
        raise UsageError(f"--port needs a network of root's under {options.vmm}: leave it out, or boot under QEMU")
    if options.machine:
        raise UsageError(f"--machine is for QEMU, and {options.vmm} has one kind only: leave it out")
    return runner


def _check_requirements(runner: Runner) -> None:
    try:
        find_tool(runner.program)
    except ToolMissing as error:
        raise MissingRequirement(f"{error}; get it from {runner.origin}, or boot under QEMU") from error
    try:
        os.close(os.open(KVM, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        reason = f"{runner.program} needs {KVM}, which cannot be opened: {error.strerror}"
        raise MissingRequirement(f"{reason}; get into the group kvm, or boot under QEMU") from error


def _stop(runner: Runner, place: Path, disk: Path) -> None:
    try:
        runner.ask_to_stop(place)
    except OSError as error:
        raise GuestFailed(disk, [f"{runner.program} could not ask it to end: {error.strerror or error}"]) from error


@contextmanager
def _prepared(disk: Path, options: BootOptions, runner: Runner) -> Iterator[tuple[Root, MachineOptions, Path]]:
    """Yield what to run, and a directory for the VMM's own files that is there as long as the context lasts."""
    check_readable(disk, options)
    architecture, format_ = architecture_here(), format_of(disk)
    kernel, modules = chosen_kernel(options)
    quiet = () if options.show_console else ("quiet", "loglevel=3")
    machine = MachineOptions(
        kernel=kernel,
        memory=options.memory,
        vcpus=options.vcpus,
        data=options.data,
        writable=options.writable,
        append=(*quiet, NO_SELF_TESTS, *options.append),
    )
    root = Root(disk, format_, architecture, init=True, verity=verity_of(disk, options))
    line = VMMS[options.vmm].line(root, machine)
    check_writable(machine, root)
    with ExitStack() as stack:
        place = temporary(stack)
        cache = boot_cache(stack)
        initrd = options.initrd or boot_initramfs(architecture, runner.drivers, format_, options, line, modules, cache)
        if options.args or options.env:
            more = options_archive(options.args, options.env)
            with failures_named(place, TEMPORARY):
                (place / "initrd").write_bytes(initrd.read_bytes() + more)
            initrd = place / "initrd"
        yield replace(root, initrd=initrd), machine, place
