"""What an image says about itself (kernel documentation, filesystems/ext4/super)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from builder.disk.ext4.layout import BLOCK_SIZE, checksum
from builder.errors import MissingRequirement
from builder.exact import read_at, read_up_to, write_at

SUPERBLOCK, _SIZE = 1024, 1024
_MAGIC, _MAGIC_OFFSET = b"\x53\xef", 0x38
_CHECKSUM = 0x3FC
_FLAGS, _SIGNED_HASH, _UNSIGNED_HASH = 0x160, 1, 2
_KBYTES_WRITTEN = 0x178


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


def make_alike(fd: int) -> None:
    """Leave nothing in the superblocks of the image `fd` that depends on where mke2fs has made it.

    It hashes names in the way of its own processor, of which some take bytes as unsigned: the same image would differ
    there. And it counts what it has written: more on a file system that cannot make holes (exFAT, NFS before 4.2).
    """
    superblock = read_superblock(fd)
    for group in range(-(-superblock.blocks // superblock.blocks_per_group)):
        if not _has_copy(group):
            continue
        offset = SUPERBLOCK if group == 0 else group * superblock.blocks_per_group * BLOCK_SIZE
        data = bytearray(read_at(fd, _SIZE, offset))
        (flags,) = struct.unpack_from("<I", data, _FLAGS)
        if flags & _UNSIGNED_HASH:
            struct.pack_into("<I", data, _FLAGS, flags & ~_UNSIGNED_HASH | _SIGNED_HASH)
        struct.pack_into("<Q", data, _KBYTES_WRITTEN, 0)
        _seal_and_write(fd, data, offset)


def _has_copy(group: int) -> bool:
    """Tell whether a group has a superblock (feature sparse_super): 0, 1, and the powers of 3, 5 and 7."""
    for base in (3, 5, 7):
        power = base
        while power < group:
            power *= base
        if power == group:
            return True
    return group < 2


def write_free(fd: int, blocks: int, inodes: int) -> None:
    """State in the superblock of the image `fd` how many blocks and inodes are free.

    Its copies keep what mke2fs wrote: these counts are not read from them.
    """
    data = bytearray(read_at(fd, _SIZE, SUPERBLOCK))
    struct.pack_into("<2I", data, 0x0C, blocks & 0xFFFFFFFF, inodes)
    struct.pack_into("<I", data, 0x158, blocks >> 32)
    _seal_and_write(fd, data, SUPERBLOCK)


def _seal_and_write(fd: int, data: bytearray, offset: int) -> None:
    struct.pack_into("<I", data, _CHECKSUM, checksum((bytes(data[:_CHECKSUM]),)))
    write_at(fd, data, offset)
