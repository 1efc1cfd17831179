"""Room for decoded layers: how much they take, and what goes when that is too much."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass

from builder.decoded.cache import LAYER, is_named

# For writing, without which NFS locks nothing for one alone.
_OPEN = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Stored:
    """A file of the cache: its name, the bytes it takes on the drive, and when it was used last, in nanoseconds."""

    name: str
    size: int
    used_ns: int

    @property
    def is_layer(self) -> bool:
        """Whether it is a whole layer, and not one that is being made, or was."""
        found = LAYER.fullmatch(self.name)
        return found is not None and found[2] is None


@dataclass(frozen=True, slots=True)
class Freed:
    """How many files were removed, and the bytes that they took."""

    files: int
    size: int


def stored(directory: int) -> list[Stored]:
    """List what is ours in the cache, what was used longest ago first. Raises OSError."""
    found = []
    for name in os.listdir(directory):
        if LAYER.fullmatch(name) is None:
            continue
        try:
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            continue
        found.append(Stored(name, status.st_blocks * 512, status.st_mtime_ns))
    return sorted(found, key=lambda each: (each.used_ns, each.name))


def prune(directory: int, limit: int) -> Freed:
    """Remove layers until the rest takes no more than `limit` bytes, and what killed makers left.

    What nobody uses goes first. Builds that use what goes then go on: an open file outlives its name. Raises OSError.
    """
    files = stored(directory)
    freed = [each for each in files if not each.is_layer and _remove(directory, each)]
    layers = [each for each in files if each.is_layer]
    excess = sum(each.size for each in layers) - limit
    for in_use in (False, True):
        for each in layers:
            if excess > 0 and each not in freed and _remove(directory, each, in_use=in_use):
                freed.append(each)
                excess -= each.size
    return _sum(freed)


def clear(directory: int) -> Freed:
    """Remove every layer, and what killed makers left; one that is being made stays. Raises OSError."""
    return _sum([each for each in stored(directory) if _remove(directory, each, in_use=each.is_layer)])


def _remove(directory: int, each: Stored, *, in_use: bool = False) -> bool:
    """Remove a file that nobody has locked, or any; say whether it was removed."""
    try:
        fd = os.open(each.name, _OPEN, dir_fd=directory)
    except FileNotFoundError:
        return False
    try:
        if not in_use:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not is_named(fd, directory, each.name):
            return False
        os.unlink(each.name, dir_fd=directory)
    except (BlockingIOError, FileNotFoundError):
        return False
    finally:
        os.close(fd)
    return True


def _sum(freed: list[Stored]) -> Freed:
    return Freed(len(freed), sum(each.size for each in freed))
