"""What stands on a file system, name by name: what stat(2), getxattr(2) and read(2) would say there."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from builder.archive.entry import NO_XATTRS

# Stretches of a file, as (offset, bytes), in order; what is in none of them reads as zeros.
Stretches = Iterator[tuple[int, bytes]]


def nothing() -> Stretches:
    """Give the content of what has none."""
    return iter(())


@dataclass(frozen=True, slots=True)
class Inode:
    """An inode: `mode` with its type bits, `size` in bytes, but of directories and symlinks, `data()` its content.

    `number` tells it from all others of its file system; `links` is how many names it says that it has; `flags` are
    those of chattr(1) that change what can be done with it, by name.
    """

    number: int
    mode: int
    links: int
    uid: int
    gid: int
    mtime_ns: int
    xattrs: Mapping[bytes, bytes] = field(default_factory=lambda: NO_XATTRS)
    size: int = 0
    target: bytes = b""
    device: tuple[int, int] = (0, 0)
    data: Callable[[], Stretches] = nothing
    flags: tuple[str, ...] = ()

    @property
    def is_directory(self) -> bool:
        """Whether other names may be below it."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.mode)


@dataclass(frozen=True, slots=True)
class Found:
    """A name and its inode; `path` is relative (`etc/hosts`), and empty for the root."""

    path: bytes
    inode: Inode

    @property
    def order(self) -> list[bytes]:
        """What names are sorted by: parents first, siblings in byte order, as `Tree.walk` gives them."""
        return self.path.split(b"/") if self.path else []


def stretches(read: Callable[[int, int], bytes], start: int, position: int, length: int, most: int) -> Stretches:
    """Read `length` bytes at `position` through `read(position, size)`, `most` at once, as a file's from `start` on."""
    for done in range(0, length, most):
        yield start + done, read(position + done, min(most, length - done))


def joined(content: Stretches, size: int) -> bytes:
    """Put a small content of `size` bytes together, zeros where there is none."""
    data = bytearray(size)
    for start, part in content:
        data[start : start + len(part)] = part
    return bytes(data)
