"""A disk run under QEMU: its process's own streams and status, and nothing written to the disk."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from builder.disk import FILESYSTEMS
from builder.disk.filesystem import HEAD
from builder.disk.verity import Verity
from builder.errors import BuilderError, UsageError
from builder.exact import write_next
from builder.files.descriptors import path_of
from builder.files.home import home_directory
from builder.guest.description import Description
from builder.guest.initramfs import override_archive, quick_initramfs
from builder.guest.kernel_line import ROOT_DISK, guest_word, kernel_line, root_words
from builder.guest.modules import MAPPER
from builder.guest.program import init_program
from builder.output.beside import metadata_path, read_verity
from builder.output.publish import write_atomically
from builder.signals import signals_given_to
from builder.tool import run_tool
from builder.vm.channels import Channels
from builder.vm.kernels import newest_kernel
from builder.vm.kvm import kvm_remembered
from builder.vm.qemu import MACHINES, NETWORK, Forward, Guest, Machine, machine_for, qemu_argv

# The kernel's tests of its own cryptography take a tenth of an emulated boot.
_NO_SELF_TESTS = "cryptomgr.notests"
# Words with which a kernel takes no module without its signature.
_INSIST = ("module.sig_enforce", "lockdown=")
_LOOK_SECONDS = 0.05

TIMED_OUT = 124


class FileUnreadable(BuilderError):
    """A file or directory that a machine needs is not there, or not for this user."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: cannot be read: {reason}; check the path")
        self.path = path


class GuestFailed(BuilderError):
    """A guest ended without saying how its process did; `last_words` are the console's last lines."""

    def __init__(self, disk: Path, last_words: Sequence[str]) -> None:
        said = f"; its last words: {' / '.join(last_words[-3:])}" if last_words else " without a word"
        super().__init__(f"{disk}: the guest ended before its process did{said}; look at all of it with -v")
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
    """How to run a disk: `memory` in bytes, `timeout` in seconds; what is None is chosen.

    `args` take the place of the image's Cmd, `env` are further variables; `append` are words for the kernel. With
    `writable` the guest writes to the disk itself, else to nothing. `expect` ends the guest, well, when its process
    has printed that. `show_console` shows the kernel's and init's words on standard error. What `metadata`, by
    default those beside the disk, say of a hash tree is checked by the guest's kernel.
    """

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


def boot(disk: Path, options: BootOptions, streams: tuple[int, int, int] = (0, 1, 2)) -> Booted:
    """Boot `disk` until its process ends, which gets `streams` as its 0, 1 and 2.

    SIGINT and SIGTERM ask the guest to end as its image wants to be asked. Raises GuestFailed, DiskCorrupt,
    GuestTimedOut, FileUnreadable, and MissingRequirement for what has to be installed.
    """
    with _prepared(disk, options) as guest:
        channels = Channels(*streams, options.show_console, options.expect)
        started = time.monotonic()

        def look() -> None:
            channels.handed_over()
            if channels.expected:
                raise _Expected
            if options.timeout is not None and time.monotonic() - started > options.timeout:
                raise GuestTimedOut(disk, options.timeout)

        try:
            with signals_given_to(lambda _signal: channels.ask_to_stop()):
                argv = qemu_argv(guest, channels.ports, channels.console)
                run_tool(argv, inherited=[*guest.inherited, *channels.descriptors], watch=look, every=_LOOK_SECONDS)
        except _Expected:
            return Booted(0)
        finally:
            channels.handed_over()
        channels.finish()
    if channels.expected:
        return Booted(0)
    if channels.status is None and channels.corrupt:
        raise DiskCorrupt(disk, channels.corrupt)
    if channels.status is None:
        raise GuestFailed(disk, channels.last_words)
    corrupt = (f"{disk}: {channels.corrupt} is not what its root hash says",) if channels.corrupt else ()
    return Booted(channels.status, (*channels.init_words, *corrupt))


def boot_command(disk: Path, options: BootOptions) -> list[str]:
    """Return a command that boots `disk` as `boot` does, with the guest's console for standard output."""
    words = [guest_word("cmd", word) for word in options.args] + [guest_word("env", word) for word in options.env]
    said = replace(options, args=(), env=(), append=(*options.append, *words))
    with _prepared(disk, said) as guest:
        return qemu_argv(replace(guest, line=guest.line.replace(" rb.ports", "")), {})


class _Expected(BaseException):
    """The guest has said what it was to say."""


@contextmanager
def _prepared(disk: Path, options: BootOptions) -> Iterator[Guest]:
    """Gather what the machine is started with; the initramfs lasts as long as the context."""
    for path in (disk, options.kernel, options.modules, options.initrd, options.data, options.metadata):
        if path is not None:
            _check_readable(path)
    here = "arm64" if os.uname().machine == "aarch64" else "amd64"
    machine = MACHINES[options.machine] if options.machine else machine_for(here, options.vcpus)
    format_ = _format_of(disk)
    kernel, modules = options.kernel, options.modules
    if kernel is None:
        kernel, modules = newest_kernel()
    verity = _verity_of(disk, options)
    # What dm-verity finds, it says as an error.
    quiet = ["quiet", f"loglevel={4 if verity else 3}"]
    words = [f"console={machine.console}", "panic=-1", *([] if options.show_console else quiet)]
    table = verity.table(ROOT_DISK) if verity else None
    words += [_NO_SELF_TESTS, "rb.ports", *root_words(format_, options.writable, table=table), NETWORK]
    words += ["rb.data=/dev/vdb"] if options.data else []
    line = kernel_line(words, options.append)
    disks = [(disk, options.writable), *([(options.data, True)] if options.data else [])]
    with ExitStack() as stack:
        cache = _cache(stack)
        initrd = options.initrd or _initramfs(machine, format_, options, line, modules, cache)
        inherited: list[int] = []
        if options.args or options.env:
            override = override_archive(Description(cmd=options.args, env=options.env).encode())
            inherited.append(stack.enter_context(_nameless(initrd.read_bytes() + override)))
            initrd = path_of(inherited[0])
        guest = Guest(
            machine=machine,
            kernel=kernel,
            initrd=initrd,
            line=line,
            disks=disks,
            memory=options.memory,
            vcpus=options.vcpus,
            forwards=options.forwards,
            network=True,
            inherited=inherited,
        )
        yield replace(guest, kvm=machine.runs_here and kvm_remembered(guest, cache))


@contextmanager
def _nameless(content: bytes) -> Iterator[int]:
    """Put content into a file that has no name, so that nothing of it stays behind; yield its descriptor."""
    fd = os.memfd_create("initramfs")
    try:
        write_next(fd, content)
        yield fd
    finally:
        os.close(fd)


def _check_readable(path: Path) -> None:
    try:
        # Without waiting for somebody to write to a fifo.
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as error:
        raise FileUnreadable(path, os.strerror(error.errno or 0)) from error


def _verity_of(disk: Path, options: BootOptions) -> Verity | None:
    try:
        verity = read_verity(disk, options.metadata)
    except OSError as error:
        raise FileUnreadable(options.metadata or metadata_path(disk), os.strerror(error.errno or 0)) from error
    if verity and options.writable:
        raise UsageError(f"{disk}: nothing is ever written to a disk with a hash tree; leave out --writable")
    return verity


def _format_of(disk: Path) -> str:
    with disk.open("rb") as file:
        head = file.read(HEAD)
    for name, filesystem in FILESYSTEMS.items():
        if filesystem.recognises(head):
            return name
    raise UsageError(f"{disk}: is no disk; build one with rootfs-builder build IMAGE -o {disk}")


def _initramfs(
    machine: Machine, format_: str, options: BootOptions, line: str, modules: Path | None, cache: Path
) -> Path:
    """Make the initramfs for such a boot, or take the one that an earlier boot made of the same."""
    init = init_program(machine.image_architecture)
    overlay = [] if options.writable and format_ != "erofs" else ["overlay"]
    data = ["ext4"] if options.data else []
    mapper = MAPPER if "dm-mod.create=" in line else ()
    wanted = (*machine.drivers, format_, *data, *overlay, *mapper)
    signed = any(word in line for word in _INSIST)
    # depmod writes modules.dep whenever modules come or go.
    changing = [path for path in (modules, modules and modules / "modules.dep") if path and path.exists()]
    facts = [*wanted, str(signed), str(modules), *(str(path.stat().st_mtime_ns) for path in changing)]
    name = hashlib.sha256(init + "\n".join(facts).encode()).hexdigest()
    kept = cache / f"initramfs-{name}"
    if not kept.exists():
        write_atomically(kept, quick_initramfs(init, modules, wanted, signed))
    return kept


def _cache(stack: ExitStack) -> Path:
    """Where initramfs are kept: $XDG_CACHE_HOME/rootfs-builder; until `stack` ends for who cannot have that."""
    named, home = os.environ.get("XDG_CACHE_HOME"), home_directory()
    if named or home:
        place = Path(named or f"{home}/.cache") / "rootfs-builder"
        with suppress(OSError):
            place.mkdir(parents=True, exist_ok=True)
        if os.access(place, os.R_OK | os.W_OK | os.X_OK):
            return place
    return Path(stack.enter_context(TemporaryDirectory(prefix="rootfs-builder-")))
