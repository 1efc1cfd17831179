"""What a tool gets: its own program, the system to read, and what it was handed.

It changes nothing but the files and directories that it was handed, runs no other program, reaches no network and no
process outside, and has no privileges but that to read files whoever owns them. All this is taken from a thread that
starts it and ends with that: what a thread starts has no more than it, and nothing runs between fork and exec.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import TypeVar

from builder.sandbox import landlock, seccomp
from builder.sandbox.calls import process_control
from builder.sandbox.landlock import CHANGE, CHANGE_FILE, EXECUTE, READ, READ_DIR, READ_FILE, RUN, WRITE_FILE, Grant
from builder.sandbox.policy import unless_required
from builder.threads import Worker

T = TypeVar("T")

# Where systems keep programs and libraries; the last three are those of Nix, Guix and Homebrew.
_FOREIGN = ("/nix/store", "/gnu/store", "/home/linuxbrew/.linuxbrew")
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", *_FOREIGN)
LINKER = ("/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/ld-musl-x86_64.path", "/etc/ld-musl-aarch64.path")
DEVICES: tuple[Grant, ...] = (
    ("/dev/null", READ_FILE | WRITE_FILE),
    *((f"/dev/{name}", READ_FILE) for name in ("zero", "random", "urandom")),
    # Names alone: a Python built for an old C library closes what a program is not to have by /proc/self/fd, and
    # without that all numbers there could be, of which a container may have a thousand million.
    ("/proc", READ_DIR),
)

_LOOK_AT_BOUNDS, _DROP_FROM_BOUNDS = 23, 24
# For root: files that another user owns and that we opened. A kernel that has no more capabilities says so.
_DAC_OVERRIDE = 1
_CAPABILITIES = 64

_INTERPRETER = 3  # PT_INTERP


def start_confined(start: Callable[[], T], programs: Sequence[str], handed: Sequence[int]) -> T:
    """Call `start` in a thread that has no more than what `programs`, by their paths, need, and what is `handed`.

    Of the descriptors `handed`, files may be changed if they are open for writing, directories if they are open as
    mere paths. What the kernel lacks is left out. Raises what `start` raises, and MissingRequirement where what is
    required is forbidden.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            _confine([*_grants(programs), *map(_handed, handed)])
            results.append(start())
        except BaseException as error:
            errors.append(error)

    # In this context: in one of its own, the thread would not know the policy.
    thread = Worker(partial(copy_context().run, work))
    thread.start()
    thread.join()
    thread.check()
    if errors:
        raise errors[0]
    return results[0]


def _confine(grants: Sequence[Grant]) -> None:
    steps: list[Callable[[], None]] = []
    if landlock.version():
        steps.append(lambda: landlock.restrict(grants))
    if os.geteuid() == 0:
        steps.append(_keep_one_capability)
    if seccomp.is_there():
        files = (seccomp.OWNERS, seccomp.MODES, seccomp.SET_ID, seccomp.ATTRIBUTES)
        steps.append(lambda: seccomp.refuse(seccomp.NETWORK, *files, seccomp.SYSTEM))
    for step in steps:
        try:
            step()
        except OSError as error:
            # A container may forbid it.
            unless_required(error)


def _keep_one_capability() -> None:
    """See to it that a program of root's starts with one capability at most."""
    for number in range(_CAPABILITIES):
        try:
            # To drop one takes a capability itself, which a container's root may lack with all others.
            if process_control(_LOOK_AT_BOUNDS, number) and number != _DAC_OVERRIDE:
                process_control(_DROP_FROM_BOUNDS, number)
        except OSError as error:
            if error.errno == errno.EINVAL:
                return
            raise


def _handed(fd: int) -> Grant:
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        return fd, CHANGE if flags & os.O_PATH else READ
    return fd, READ_FILE | (CHANGE_FILE if flags & os.O_ACCMODE != os.O_RDONLY else 0)


def _grants(programs: Sequence[str]) -> Iterator[Grant]:
    for path in (*SYSTEM, *LINKER):
        yield path, READ
    yield from DEVICES
    for program in programs:
        yield from of_program(program)


def of_program(program: str) -> Iterator[Grant]:
    """List what it takes to run a program: itself, what loads it, and what is installed beside it."""
    yield program, READ_FILE | EXECUTE
    prefix = os.path.dirname(os.path.dirname(os.path.realpath(program)))
    for name in ("lib", "lib64", "share"):
        yield os.path.join(prefix, name), READ
    with suppress(OSError), open(program, "rb") as file:
        head = file.read(4096)
        if head[:6] == b"\x7fELF\x02\x01" and len(head) >= 64:
            if loader := _loader(head):
                yield loader, READ_FILE | EXECUTE
            return
        # A script does nothing without other programs; and of other kinds we do not know what loads them.
        for path in SYSTEM:
            yield path, RUN
        if found := re.match(rb"#! *([^ \n]+)", head):
            yield os.fsdecode(found[1]), READ_FILE | EXECUTE


def _loader(head: bytes) -> str | None:
    """Find the loader that an ELF program of 64 bits names (elf(5), program headers); None where it names none."""
    (table,) = struct.unpack_from("<Q", head, 32)
    size, count = struct.unpack_from("<HH", head, 54)
    for at in range(table, min(table + size * count, len(head) - 40), size or 1):
        (kind,) = struct.unpack_from("<I", head, at)
        if kind == _INTERPRETER:
            (offset,), (length,) = struct.unpack_from("<Q", head, at + 8), struct.unpack_from("<Q", head, at + 32)
            return os.fsdecode(head[offset : offset + length].rstrip(b"\0"))
    return None
