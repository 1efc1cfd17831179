"""The merged tree: directories, files, symlinks, devices and fifos, in memory.

A node is an inode: identity matters, equality does not. A hardlink is the same node under several names.
File content is not here but in the spool (see spool.py); a node only says where.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping

from msgspec import Struct, field

from builder.archive.entry import NO_XATTRS
from builder.linux import SYMLINK_MODE


class Content(Struct, frozen=True, gc=False):
    """Where a file's bytes are in the spool: `offset` and apparent `size` in bytes; holes stay holes."""

    offset: int
    size: int


EMPTY = Content(0, 0)


class Metadata(Struct, eq=False, gc=False):
    """What every inode has: permission bits (octal 07777), owner, nanoseconds since the epoch, xattrs."""

    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    xattrs: Mapping[bytes, bytes] = field(default_factory=lambda: NO_XATTRS)


class Directory(Metadata, eq=False, gc=False):
    """A directory and its entries; names are single components, raw bytes, never `.`, `..` or empty."""

    children: dict[bytes, Node] = field(default_factory=dict)


class File(Metadata, eq=False, gc=False):
    """A regular file."""

    content: Content = EMPTY


class Symlink(Metadata, eq=False, gc=False):
    """A symbolic link; `target` is the guest's business and kept as it is."""

    target: bytes = b""


class Device(Metadata, eq=False, gc=False):
    """A character device, or a block device if `block`."""

    block: bool = False
    major: int = 0
    minor: int = 0


class Fifo(Metadata, eq=False, gc=False):
    """A named pipe."""


Node = Directory | File | Symlink | Device | Fifo

_TYPE_BITS: dict[type[Node], int] = {
    Directory: stat.S_IFDIR,
    File: stat.S_IFREG,
    Symlink: stat.S_IFLNK,
    Fifo: stat.S_IFIFO,
}


def type_bits(node: Node) -> int:
    """Return the S_IFMT bits of a node's mode."""
    if isinstance(node, Device):
        return stat.S_IFBLK if node.block else stat.S_IFCHR
    return _TYPE_BITS[type(node)]


def full_mode(node: Node) -> int:
    """Return the mode that stat(2) shows: type bits and permissions."""
    return type_bits(node) | (SYMLINK_MODE if isinstance(node, Symlink) else node.mode)
