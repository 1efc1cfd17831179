"""A directory in memory, where making thousands of empty files takes no time."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from builder.tree.removal import remove_tree

# POSIX shared memory: on Linux a tmpfs that everybody may write to (shm_overview(7)).
_PLACE = Path("/dev/shm")
_PREFIX = "rootfs-builder."


@contextmanager
def memory_directory() -> Iterator[Path | None]:
    """Make a directory in memory and remove it at the end; None where there is no room for one.

    It is locked for as long as this process lives. What nobody locks is what killed processes of the same user left
    behind, and is removed first.
    """
    try:
        _sweep()
        path, lock = _create()
    except OSError:
        yield None
        return
    try:
        yield path
    finally:
        remove_tree(path)
        os.close(lock)


def _create() -> tuple[Path, int]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_PLACE))
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Before it was locked somebody may have taken it for litter.
        if path.exists():
            return path, lock
        os.close(lock)


def _sweep() -> None:
    for path in _PLACE.glob(_PREFIX + "*"):
        # Somebody else's, gone meanwhile, or in use.
        with suppress(OSError):
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if os.fstat(lock).st_uid == os.geteuid():
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    remove_tree(path)
            finally:
                os.close(lock)
