"""erofs structures as bytes: inodes, extended attributes and directories.

Layouts: the kernel's Documentation/filesystems/erofs.rst and fs/erofs/erofs_fs.h.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from struct import Struct

from builder.disk.numbering import split_xattr
from builder.tree.nodes import Node, full_mode

BLOCK = 4096
# Inodes are numbered by where they stand, in units of this.
SLOT = 32
INODE_SIZE = 64

# i_format of the extended form, and the layouts of data that is not compressed: in blocks of its own, or with the
# last, partial block behind the inode.
EXTENDED = 1
FLAT_PLAIN, FLAT_INLINE = 0, 2
# i_format, i_xattr_icount, i_mode, reserved, i_size, i_u, i_ino, i_uid, i_gid, i_mtime, i_mtime_nsec, i_nlink
_INODE = Struct("<HHHHQIIIIqII16x")

# nid, nameoff, file_type
DIRENT = Struct("<QHBx")
_XATTR_HEADER = 12
# e_name_len, e_name_index, e_value_size
_XATTR_ENTRY = Struct("<BBH")


def encode_inode(node: Node, number: int, layout: int, size: int, content: int, links: int, xattr_size: int) -> bytes:
    """Return the extended inode `number` of a node with `size` bytes of data, in 64 bytes.

    `content` is the number of the first block of data, or of the device; `xattr_size` counts the bytes of extended
    attributes behind it.
    """
    count = (xattr_size - _XATTR_HEADER) // 4 + 1 if xattr_size else 0
    seconds, nanoseconds = divmod(node.mtime_ns, 10**9)
    return _INODE.pack(
        EXTENDED | layout << 1, count, full_mode(node), 0, size, content, number & 0xFFFFFFFF,
        node.uid, node.gid, seconds, nanoseconds, links,
    )  # fmt: skip


def encode_xattrs(xattrs: Mapping[bytes, bytes]) -> bytes:
    """Return extended attributes as they stand behind an inode, sorted by name; nothing for none."""
    if not xattrs:
        return b""
    entries = bytearray(_XATTR_HEADER)
    for name, data in sorted(xattrs.items()):
        index, suffix = split_xattr(name)
        entries += _XATTR_ENTRY.pack(len(suffix), index, len(data)) + suffix + data
        entries += bytes(-len(entries) % 4)
    return bytes(entries)


def xattrs_size(xattrs: Mapping[bytes, bytes]) -> int:
    """Return how many bytes extended attributes take behind an inode."""
    return len(encode_xattrs(xattrs)) if xattrs else 0


def placeholder(xattrs: Mapping[bytes, bytes]) -> tuple[bytes, bytes]:
    """Return one extended attribute, as (name, value), that takes as much room as all of `xattrs`."""
    name = b"user.x"
    return name, bytes(len(encode_xattrs(xattrs)) - _XATTR_HEADER - _XATTR_ENTRY.size - len(b"x"))


def directory_size(names: Iterable[bytes]) -> int:
    """Return the size in bytes of a directory with entries `names`, besides `.` and `..`."""
    size = 0
    for name in sorted([b".", b"..", *names]):
        room = DIRENT.size + len(name)
        if size % BLOCK + room > BLOCK:
            size += -size % BLOCK
        size += room
    return size


def encode_directory(entries: Iterable[tuple[bytes, int, int]]) -> bytes:
    """Return a directory's blocks, the last one cut; `entries` are (name, nid, file type), `.` and `..` included.

    Entries are in byte order of their names; each block has its heads first and then the names.
    """
    data = bytearray()
    block: list[tuple[bytes, int, int]] = []
    room = 0
    for entry in sorted(entries):
        needed = DIRENT.size + len(entry[0])
        if room + needed > BLOCK:
            data += _encode_block(block).ljust(BLOCK, b"\0")
            block, room = [], 0
        block.append(entry)
        room += needed
    return bytes(data + _encode_block(block))


def _encode_block(entries: list[tuple[bytes, int, int]]) -> bytes:
    heads = bytearray()
    offset = DIRENT.size * len(entries)
    for name, nid, kind in entries:
        heads += DIRENT.pack(nid, offset, kind)
        offset += len(name)
    return bytes(heads) + b"".join(name for name, _, _ in entries)
