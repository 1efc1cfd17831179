"""The merged tree: directories, files, symlinks, devices and fifos, in memory.

A node is an inode: identity matters, equality does not. A hardlink is the same node under several names.
File content is not here but in the spool (see spool.py); a node only says where.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from builder.archive.entry import NO_XATTRS


@dataclass(frozen=True, slots=True)
class Content:
    """Where a file's bytes are in the spool: `offset` and apparent `size` in bytes; holes stay holes."""

    offset: int
    size: int


EMPTY = Content(0, 0)


@dataclass(slots=True, eq=False)
class Metadata:
    """What every inode has: permission bits (octal 07777), owner, nanoseconds since the epoch, xattrs."""

    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    xattrs: Mapping[bytes, bytes] = field(default_factory=lambda: NO_XATTRS)


@dataclass(slots=True, eq=False)
class Directory(Metadata):
    """A directory and its entries; names are single components, raw bytes, never `.`, `..` or empty."""

    children: dict[bytes, Node] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class File(Metadata):
    """A regular file."""

    content: Content = EMPTY


@dataclass(slots=True, eq=False)
class Symlink(Metadata):
    """A symbolic link; `target` is the guest's business and kept as it is."""

    target: bytes = b""


@dataclass(slots=True, eq=False)
class Device(Metadata):
    """A character device, or a block device if `block`."""

    block: bool = False
    major: int = 0
    minor: int = 0


@dataclass(slots=True, eq=False)
class Fifo(Metadata):
    """A named pipe."""


Node = Directory | File | Symlink | Device | Fifo
