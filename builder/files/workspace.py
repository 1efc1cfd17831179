"""A private directory for one piece of work, gone when that ends, and swept by the next one if it was killed.

It is locked for as long as its process lives, and reached through its handle only: who may rename it, or put something
else in its place, changes neither what is written where nor what is removed.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from time import sleep

from builder.errors import OutputDenied, OutputError
from builder.events import Listener, Notice, ignore
from builder.files.descriptors import check_descriptors, path_of
from builder.files.litter import (
    clear,
    has_name,
    is_litter,
    open_own,
    process_of,
    sweep,
    work_directory_name,
    write_mark,
)
from builder.shortage import unless_short

_PARENT = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

# How long whoever has just made a work directory, or is about to remove it, may need, in seconds.
_MOMENT = 0.01

# In bytes: what removing a work directory may take where memory is what a build has run out of.
_RESERVE = 2 << 20
# How many files are kept open for the same: as many as it opens at a time where a directory is in another.
_SPARE = 4

# Called when another process has a work directory, with its number; returns once it makes sense to try again.
_Wait = Callable[[int, int | None], None]


class OutputBusy(OutputError):
    """Another process, of the number `process`, is making the same output."""

    def __init__(self, path: str, process: int) -> None:
        super().__init__(path, f"process {process} is at work on it; try again, or leave out --no-wait")
        self.process = process


@dataclass(frozen=True, slots=True)
class Workspace:
    """A work directory: `fd` is its handle, and `parent` that of the directory that it is in."""

    fd: int
    parent: int

    @property
    def path(self) -> Path:
        """A path to it that nobody can change, for as long as it is open."""
        return path_of(self.fd)


@contextmanager
def workspace(parent: Path, name: str, listen: Listener = ignore) -> Iterator[Workspace]:
    """Make a hidden directory in `parent` for the work on `name`, and remove it whatever happens.

    What killed builds of the same user left in `parent` is removed first. Raises OutputError or OutputDenied where
    nothing can be made, Shortage where the machine has too little for that, and MissingRequirement without /proc.
    """
    with _opened(parent, listen) as handle, _made(handle, [_random_name(name)], parent, listen) as work:
        yield work


@contextmanager
def workspace_of(output: Path, listen: Listener = ignore, *, wait: bool = True) -> Iterator[Workspace]:
    """Make the hidden directory in which `output` is made: only one process of a user has it at a time.

    Where another has it, this waits for its end, and says so once; without `wait` it raises OutputBusy. Raises what
    `workspace` raises, too.
    """
    told = False

    def busy(fd: int, process: int | None) -> None:
        nonlocal told
        if process is None:
            sleep(_MOMENT)
            return
        if not wait:
            raise OutputBusy(str(output), process)
        if not told:
            told = True
            listen(Notice(f"{output}: process {process} is at work on it; waiting for its end"))
        fcntl.flock(fd, fcntl.LOCK_SH)

    # Where something else has the first name there is nothing to wait for, and any name will do.
    names = [_name_of(output.name), _random_name(output.name)]
    with _opened(output.parent, listen) as handle, _made(handle, names, output.parent, listen, busy) as work:
        yield work


def sweep_directory(parent: Path, listen: Listener = ignore) -> None:
    """Remove what killed builds of this user left in a directory. Raises OutputError or OutputDenied."""
    with _opened(parent, listen):
        pass


@contextmanager
def _opened(parent: Path, listen: Listener) -> Iterator[int]:
    """Open the directory `parent`, and remove the litter in it."""
    check_descriptors()

    def failed(name: str, error: OSError) -> None:
        listen(Notice(f"{parent / name}: a killed build left this, and it cannot be removed: {_reason(error)}"))

    with _failure_named(parent):
        handle = os.open(parent, _PARENT)
    try:
        with _failure_named(parent):
            sweep(handle, failed)
        yield handle
    finally:
        os.close(handle)


@contextmanager
def _made(
    parent: int, names: list[str], where: Path, listen: Listener, busy: _Wait = lambda fd, process: sleep(_MOMENT)
) -> Iterator[Workspace]:
    """Make, lock and mark a directory of the first of these names that can be had; remove it at the end."""
    reserve = bytearray(_RESERVE)
    with ExitStack() as spare:
        with _failure_named(where):
            for _ in range(_SPARE):
                spare.callback(os.close, os.dup(parent))
        with _failure_named(where):
            found = next(((fd, name) for name in names if (fd := _claim(parent, name, busy)) is not None), None)
        if found is None:
            raise OutputError(str(where), "other users may change what is made here; choose another directory")
        fd, name = found
        try:
            with _failure_named(where):
                clear(fd)
                write_mark(fd, name)
            yield Workspace(fd, parent)
        finally:
            reserve.clear()
            spare.close()
            try:
                clear(fd)
                # Moved away by somebody, it is empty now, and what has its name is not ours.
                if has_name(fd, parent, name):
                    os.rmdir(name, dir_fd=parent)
            except OSError as error:
                listen(Notice(f"{where / name}: this work directory cannot be removed: {_reason(error)}"))
            finally:
                os.close(fd)


def _claim(parent: int, name: str, busy: _Wait) -> int | None:
    """Make and lock the directory `name`; None where something that is not ours has the name."""
    while True:
        made = True
        claimed = None
        try:
            try:
                os.mkdir(name, 0o700, dir_fd=parent)
            except FileExistsError:
                made = False
            # Somebody else may lock it first, or take it for litter before it is locked.
            with suppress(FileNotFoundError, BlockingIOError):
                claimed = _lock(parent, name, busy)
                return claimed
            made = False
        finally:
            if made and claimed is None:
                with suppress(OSError):
                    os.rmdir(name, dir_fd=parent)


def _lock(parent: int, name: str, busy: _Wait) -> int | None:
    """Open and lock the directory `name`; None if it is not ours.

    Raises FileNotFoundError if it has gone meanwhile, and, once `busy` has returned, BlockingIOError if it was locked.
    """
    fd = open_own(parent, name)
    if fd is None:
        return None
    kept = False
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            busy(fd, process_of(fd, name))
            raise
        if not has_name(fd, parent, name):
            raise FileNotFoundError(name)
        kept = is_litter(fd, name)
        return fd if kept else None
    finally:
        if not kept:
            os.close(fd)


def _name_of(output: str) -> str:
    """Name the work directory of an output: its own name, as far as that fits, and what tells it from all others."""
    return work_directory_name(_prefix(output), sha256(os.fsencode(output)).hexdigest()[:16])


def _random_name(name: str) -> str:
    return work_directory_name(_prefix(name), token_hex(8))


def _prefix(name: str) -> str:
    # Names end after 255 bytes, not characters.
    return f".{os.fsdecode(os.fsencode(name)[:150])}."


@contextmanager
def _failure_named(where: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # What this machine lacks, it lacks in any other directory.
        unless_short(error)
        kind = OutputDenied if isinstance(error, PermissionError) else OutputError
        raise kind(str(where), f"cannot work in this directory: {_reason(error)}; choose another") from error


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
