"""A private directory for one build, gone when the build ends, and swept by the next one if it was killed.

The directory is locked for as long as its process lives: a directory that nobody locks is litter.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from builder.errors import OutputDenied, OutputError
from builder.files.removal import remove_tree
from builder.output.publish import hidden_prefix

SUFFIX = ".rootfs-builder"


@contextmanager
def workspace(parent: Path, name: str) -> Iterator[Path]:
    """Make a hidden directory in `parent` for the work on `name`, and remove it whatever happens.

    What killed builds of the same user left in `parent` is removed first. Raises OutputError or OutputDenied where
    nothing can be made.
    """
    # Named before it is made: from then on, whatever ends the build removes it.
    path = parent / f"{hidden_prefix(name)}{token_hex(8)}{SUFFIX}"
    lock = -1
    try:
        try:
            _sweep(parent)
            lock = _make(path)
        except OSError as error:
            kind = OutputDenied if isinstance(error, PermissionError) else OutputError
            reason = f"cannot work in this directory: {error.strerror}; choose another"
            raise kind(str(parent), reason) from error
        yield path
    finally:
        remove_tree(path)
        if lock >= 0:
            os.close(lock)


def _make(path: Path) -> int:
    """Make a directory and lock it; the lock is held for as long as the descriptor is open."""
    while True:
        # A sweeper may take it for litter before it is locked.
        path.mkdir(0o700, exist_ok=True)
        lock = _lock(path)
        if lock is not None:
            return lock


def _lock(path: Path) -> int | None:
    """Lock a directory, or return None if somebody else holds or has removed it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise
    except (FileNotFoundError, BlockingIOError):
        return None
    # Between opening and locking a sweeper may have taken it for litter.
    if path.exists():
        return fd
    os.close(fd)
    return None


def _sweep(parent: Path) -> None:
    with os.scandir(parent) as entries:
        litter = [Path(entry.path) for entry in entries if _may_be_litter(entry)]
    for path in litter:
        lock = _lock(path)
        if lock is not None:
            remove_tree(path)
            os.close(lock)


def _may_be_litter(entry: os.DirEntry[str]) -> bool:
    if not (entry.name.startswith(".") and entry.name.endswith(SUFFIX)):
        return False
    # Another build may end, and remove its own, at any moment.
    with suppress(FileNotFoundError):
        return entry.is_dir(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_uid == os.geteuid()
    return False
