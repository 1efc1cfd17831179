"""Paths and who can change where they lead: one through a descriptor leads to what was opened, whatever is renamed."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from builder.errors import MissingRequirement

_DESCRIPTORS = "/proc/self/fd"


def path_of(fd: int) -> Path:
    """Return the path that leads to what is open as `fd`: in this process, and in those that inherit it."""
    return Path(_DESCRIPTORS, str(fd))


def check_descriptors() -> None:
    """Raise MissingRequirement where there are no such paths."""
    if not os.path.isdir(_DESCRIPTORS):
        raise MissingRequirement("/proc is not mounted: work directories are reached through it; mount it")


def shown(path: str | Path) -> str:
    """Name a file for people: by where the descriptor in its path leads at the moment, if there is one."""
    found = re.match(rf"{_DESCRIPTORS}/\d+(?=/|$)", os.fspath(path))
    if found is None:
        return os.fspath(path)
    try:
        return os.readlink(found[0]) + os.fspath(path)[found.end() :]
    except FileNotFoundError:
        return os.fspath(path)


@contextmanager
def opened(path: str | Path, flags: int, mode: int = 0o666, dir_fd: int | None = None) -> Iterator[int]:
    """Open a file for as long as the context lasts, and not for programs that are started meanwhile."""
    fd = os.open(path, flags | os.O_CLOEXEC, mode, dir_fd=dir_fd)
    try:
        yield fd
    finally:
        os.close(fd)


def nameless(name: str) -> int:
    """Make a file that goes with its last descriptor: in memory, or where that is not allowed, in TMPDIR.

    `name` is for who looks at /proc. Raises OSError.
    """
    try:
        return os.memfd_create(name)
    except OSError as error:
        # As filters of containers refuse what they do not know, and systems that are not quite Linux.
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise
    with TemporaryFile(buffering=0) as file:
        return os.dup(file.fileno())


def is_exchangeable(path: Path) -> bool:
    """Say whether users other than this one and root may put something else in the place of the directory `path`."""
    real = Path(os.path.realpath(path))
    return any(_others_may_change(directory.stat()) for directory in (real, *real.parents))


def _others_may_change(status: os.stat_result) -> bool:
    shared = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not status.st_mode & stat.S_ISVTX
    return bool(shared) or status.st_uid not in (0, os.geteuid())
