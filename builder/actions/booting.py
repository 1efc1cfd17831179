"""What every way to boot a disk has in common: what can be said, how it can end, which kernel and initramfs."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from builder.denied import unless_denied
from builder.disk import recognised
from builder.disk.filesystem import HEAD
from builder.disk.verity import Verity
from builder.errors import BuilderError, UsageError
from builder.exact import read_up_to
from builder.files.descriptors import opened
from builder.guest.kernel_line import guest_word
from builder.output.beside import metadata_path, read_verity
from builder.output.failures import failures_named
from builder.shortage import unless_short
from builder.vm.kernels import modules_of, newest_kernel
from builder.vm.machine import MachineOptions, Root
from builder.vm.qemu import Forward

# The kernel's tests of its own cryptography take a tenth of an emulated boot.
NO_SELF_TESTS = "cryptomgr.notests"
_LEAST_MEMORY = 64 << 20

_BUILD = "build one with rootfs-builder build IMAGE -o DISK"
_BLANK = "make one with rootfs-builder blank"

TIMED_OUT = 124
LOOK_SECONDS = 0.05
_HALT_SECONDS = 2.0


class Expected(BaseException):
    """The guest has said what it was to say."""


class Halted(BaseException):
    """The guest has stopped its processors, and would leave its machine on for ever."""


class FileUnreadable(BuilderError):
    """A file or directory that a machine needs is not there, or cannot be read."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: cannot be read: {reason}; check the path")
        self.path = path


class GuestFailed(BuilderError):
    """A guest ended without saying how its process did; `last_words` are the console's last lines."""

    def __init__(self, disk: Path, last_words: Sequence[str]) -> None:
        # A panic is followed by its trace, of twenty lines and more.
        panic = next((number for number, line in enumerate(last_words, 1) if "Kernel panic" in line), None)
        told = list(last_words)[:panic][-3:]
        silence = " without a word, as one does that has too little memory"
        said = f"; its last words: {' / '.join(told)}" if told else silence
        starved = not told or any("deadlocked on memory" in line for line in told)
        advice = "give it more with --memory" if starved else "look at all of it with -v"
        super().__init__(f"{disk}: the guest ended before its process did{said}; {advice}")
        self.last_words = tuple(last_words)


class DiskCorrupt(BuilderError):
    """A guest ended because a `block` of its disk, of data or of the hash tree (metadata), is not what was built."""

    def __init__(self, disk: Path, block: str) -> None:
        reason = f"{block} is not what its root hash says; build the disk again, or name its own --metadata"
        super().__init__(f"{disk}: {reason}")
        self.block = block


class GuestTimedOut(BuilderError):
    """A guest was still running after `seconds`."""

    exit_status = TIMED_OUT

    def __init__(self, disk: Path, seconds: float) -> None:
        super().__init__(f"{disk}: the guest still ran after {seconds:g} seconds; give it more with --timeout")
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Booted:
    """How a guest ended: the exit status of its process, and what init had to say."""

    status: int
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BootOptions:
    """How to run a disk: `memory` in bytes, `timeout` in seconds; what is None is chosen. `vmm` is a key of VMMS.

    `args` take the place of the image's Cmd, `env` are further variables; `append` are words for the kernel. With
    `writable` the guest writes to the disk itself, else to nothing. `expect` ends the guest, well, when its process
    has printed that. `show_console` shows the kernel's and init's words on standard error. What `metadata`, by
    default those beside the disk, say of a hash tree is checked by the guest's kernel.
    """

    vmm: str = "qemu"
    machine: str | None = None
    kernel: Path | None = None
    initrd: Path | None = None
    modules: Path | None = None
    memory: int = 256 << 20
    vcpus: int = 1
    append: tuple[str, ...] = ()
    forwards: tuple[Forward, ...] = ()
    env: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    data: Path | None = None
    writable: bool = False
    timeout: float | None = None
    expect: str | None = None
    show_console: bool = False
    metadata: Path | None = None


def architecture_here() -> str:
    """Return the architecture of this machine as image configs have it; what is no arm64 boots as amd64."""
    return "arm64" if os.uname().machine == "aarch64" else "amd64"


def check_readable(disk: Path, options: BootOptions) -> None:
    """Look whether all files that a machine needs can be read, and are what it needs.

    Raises FileUnreadable, MissingRequirement, UsageError.
    """
    for path in (disk, options.kernel, options.modules, options.initrd, options.data, options.metadata):
        if path is not None:
            _check_readable(path)
    for path in (options.kernel, options.initrd):
        # For a fifo a VMM would wait, also when it is asked to end.
        if path is not None and not path.is_file():
            raise UsageError(f"{path}: is no regular file; name another")
    if options.data and format_of(options.data, _BLANK) != "ext4":
        raise UsageError(f"{options.data}: is no ext4, as data need it; {_BLANK}")
    if options.data and options.data.samefile(disk):
        raise UsageError(f"{disk}: is the root itself, and data need a disk of their own; {_BLANK}")
    if options.expect == "":
        raise UsageError("the text to expect is empty, and so there from the start; say what the process will print")
    if options.memory < _LEAST_MEMORY:
        raise UsageError(f"no kernel starts in {options.memory} bytes of memory; give it 64M or more")


def check_writable(machine: MachineOptions, root: Root) -> None:
    """Look whether this user may write to what a guest may write to. Raises OutputDenied, OutputError."""
    for path, writable in machine.disks(root):
        if writable:
            with failures_named(path, "make it writable for this user, or boot a copy"):
                os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))


def _check_readable(path: Path) -> None:
    try:
        # Without waiting for somebody to write to a fifo.
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> FileUnreadable:
    """Make the error for a file that cannot be read; raises MissingRequirement where a right is missing."""
    return FileUnreadable(path, os.strerror(unless_denied(error, path).errno or 0))


def verity_of(disk: Path, options: BootOptions) -> Verity | None:
    """Return what its metadata say of a disk's hash tree. Raises FileUnreadable, MissingRequirement, UsageError."""
    try:
        verity = read_verity(disk, options.metadata)
    except OSError as error:
        path = options.metadata or metadata_path(disk)
        raise _unreadable(path, error) from error
    if verity and options.writable:
        raise UsageError(f"{disk}: nothing is ever written to a disk with a hash tree; leave out --writable")
    return verity


def format_of(disk: Path, advice: str = _BUILD) -> str:
    """Return the key of FILESYSTEMS for what a disk holds. Raises UsageError, FileUnreadable, MissingRequirement."""
    try:
        # Without waiting for somebody to write to a fifo.
        with opened(disk, os.O_RDONLY | os.O_NONBLOCK) as fd:
            return format_in(fd, disk, advice)
    except OSError as error:
        raise _unreadable(disk, error) from unless_short(error)


def format_in(fd: int, disk: Path, advice: str = _BUILD) -> str:
    """Return the key of FILESYSTEMS for what the open `disk` holds. Raises UsageError, with `advice`, and OSError."""
    kind = os.fstat(fd).st_mode
    # A directory cannot be read, and a fifo only when somebody writes.
    head = read_up_to(fd, HEAD, 0) if stat.S_ISREG(kind) or stat.S_ISBLK(kind) else b""
    if (found := recognised(head)) is None:
        raise UsageError(f"{disk}: is no disk; {advice}")
    return found


def on_the_line(options: BootOptions) -> BootOptions:
    """Move `args` and `env` to the kernel's command line, for whoever is to start the guest by a command."""
    words = [guest_word("cmd", word) for word in options.args] + [guest_word("env", word) for word in options.env]
    return replace(options, args=(), env=(), append=(*options.append, *words))


def check_progress(disk: Path, options: BootOptions, started: float, expected: bool, halted: float | None) -> None:
    """Raise Expected once a guest, running since `started` (time.monotonic), has said it; GuestTimedOut in the end.

    Raises Halted a little after the guest has `halted`: until then its machine may end by itself.
    """
    if expected:
        raise Expected
    if halted is not None and time.monotonic() - halted > _HALT_SECONDS:
        raise Halted
    if options.timeout is not None and time.monotonic() - started > options.timeout:
        raise GuestTimedOut(disk, options.timeout)


def chosen_kernel(options: BootOptions) -> tuple[Path, Path | None]:
    """Return the kernel to boot, and the directory of its modules where an initramfs is to have some.

    Raises MissingRequirement where there is no kernel.
    """
    if options.kernel is None:
        return newest_kernel()
    if options.modules is None and options.initrd is None:
        return options.kernel, modules_of(options.kernel)
    return options.kernel, options.modules
