"""What an image says about itself (kernel documentation, filesystems/ext4/super)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from builder.disk.ext4.layout import checksum
from builder.errors import MissingRequirement
from builder.exact import read_at, read_up_to, write_at

SUPERBLOCK, _SIZE = 1024, 1024
_MAGIC, _MAGIC_OFFSET = b"\x53\xef", 0x38
_CHECKSUM = 0x3FC


@dataclass(frozen=True, slots=True)
class Superblock:
    """The counts of a superblock."""

    inodes: int
    blocks: int
    free_blocks: int
    blocks_per_group: int
    inodes_per_group: int


def is_superblock(data: bytes) -> bool:
    """Tell whether this begins with a superblock of ext2, ext3 or ext4."""
    return data[_MAGIC_OFFSET : _MAGIC_OFFSET + len(_MAGIC)] == _MAGIC


def read_superblock(fd: int) -> Superblock:
    """Read the superblock of the image `fd`, which mke2fs has made.

    Raises MissingRequirement where it has made none: that was another program of its name, or a broken one.
    """
    data = read_up_to(fd, _SIZE, SUPERBLOCK)
    if not is_superblock(data) or struct.unpack_from("<I", data, _CHECKSUM) != (checksum((data[:_CHECKSUM],)),):
        raise MissingRequirement("mke2fs ended well and made no ext4 file system: install a working e2fsprogs")
    inodes, blocks, _, free_blocks = struct.unpack_from("<4I", data, 0)
    blocks_high, _, free_blocks_high = struct.unpack_from("<3I", data, 0x150)
    blocks_per_group, _, inodes_per_group = struct.unpack_from("<3I", data, 0x20)
    return Superblock(
        inodes=inodes,
        blocks=blocks | blocks_high << 32,
        free_blocks=free_blocks | free_blocks_high << 32,
        blocks_per_group=blocks_per_group,
        inodes_per_group=inodes_per_group,
    )


def write_free(fd: int, blocks: int, inodes: int) -> None:
    """State in the superblock of the image `fd` how many blocks and inodes are free.

    Its copies keep what mke2fs wrote: these counts are not read from them.
    """
    data = bytearray(read_at(fd, _SIZE, SUPERBLOCK))
    struct.pack_into("<2I", data, 0x0C, blocks & 0xFFFFFFFF, inodes)
    struct.pack_into("<I", data, 0x158, blocks >> 32)
    struct.pack_into("<I", data, _CHECKSUM, checksum((bytes(data[:_CHECKSUM]),)))
    write_at(fd, data, SUPERBLOCK)
