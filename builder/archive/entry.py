"""One member of a tar stream, as a plain value."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from msgspec import Struct, field

NO_XATTRS: Mapping[bytes, bytes] = MappingProxyType({})


class Kind(Enum):
    """What a tar member makes (POSIX.1-2017, pax, "ustar Interchange Format", typeflag)."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    HARDLINK = "hardlink"
    CHARACTER = "character device"
    BLOCK = "block device"
    FIFO = "fifo"

    # The enumeration's own is a function of Python's, which the hash of each dictionary's key would have to wait for.
    __hash__ = object.__hash__


# For what runs once an entry: to look one up in the class takes Python 3.11 as long as a call.
FILE, DIRECTORY, SYMLINK, HARDLINK, CHARACTER_DEVICE, BLOCK_DEVICE, FIFO = Kind

# The type bits of stat(2)'s mode; a hardlink has those of what it names.
TYPE_BITS = {
    Kind.FILE: stat.S_IFREG,
    Kind.DIRECTORY: stat.S_IFDIR,
    Kind.SYMLINK: stat.S_IFLNK,
    Kind.CHARACTER: stat.S_IFCHR,
    Kind.BLOCK: stat.S_IFBLK,
    Kind.FIFO: stat.S_IFIFO,
}


class Entry(Struct, frozen=True, gc=False):
    """A tar member's header: names are the raw bytes of the archive, neither normalised nor trusted.

    `mode` holds the permission bits (octal 07777), `mtime_ns` nanoseconds since the epoch (may be negative),
    `size` the apparent size in bytes of a file's content, `link` the target of a symlink or hardlink,
    `major` and `minor` a device's numbers.
    """

    path: bytes
    kind: Kind
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    size: int = 0
    link: bytes = b""
    major: int = 0
    minor: int = 0
    xattrs: Mapping[bytes, bytes] = field(default_factory=lambda: NO_XATTRS)
