"""Numbers that ext4 and erofs write for the same things, because the kernel has them: file types, devices, xattrs."""

from __future__ import annotations

import stat

from builder.linux import ACLS, XATTR_INDEXES
from builder.tree.nodes import Node, type_bits

# FT_… (include/linux/fs_types.h): what a directory entry says of a file.
FT_DIRECTORY = 2
_FILE_TYPES = {
    stat.S_IFREG: 1,
    stat.S_IFDIR: FT_DIRECTORY,
    stat.S_IFCHR: 3,
    stat.S_IFBLK: 4,
    stat.S_IFIFO: 5,
    stat.S_IFLNK: 7,
}


def file_type(node: Node) -> int:
    """Return the file type that a directory entry shows."""
    return _FILE_TYPES[type_bits(node)]


def encode_device(major: int, minor: int) -> int:
    """Return a device's numbers as the kernel's new_encode_dev puts them into 32 bits."""
    return minor & 0xFF | major << 8 | (minor & ~0xFF) << 12


def split_xattr(name: bytes) -> tuple[int, bytes]:
    """Split an extended attribute's name into the number of its prefix and the rest; (0, name): it has none.

    Nothing is left of the name of an access control list, and something of all others that Linux serves.
    """
    for prefix, index in XATTR_INDEXES.items():
        if name == prefix if prefix in ACLS else name.startswith(prefix):
            return index, name[len(prefix) :]
    return 0, name
