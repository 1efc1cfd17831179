"""The block groups of a new file system: which blocks and inodes are taken (kernel documentation,
filesystems/ext4/bitmaps).

Blocks are given out from the front, and inodes are in use from 1 on without gaps: either is one number to remember.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from uuid import UUID

from builder.disk.ext4.descriptor import BLOCK_UNINIT, DESCRIPTOR_SIZE, INODE_UNINIT, decode_descriptors
from builder.disk.ext4.layout import BLOCK_SIZE, INODE_SIZE, checksum
from builder.disk.ext4.superblock import read_superblock, write_free
from builder.exact import read_at, write_at

_BITMAP_BITS = BLOCK_SIZE * 8

# Fewer only where mke2fs makes more groups to have room for more inodes.
MAX_PER_GROUP = _BITMAP_BITS


class Groups:
    """The groups of the file system in the image `fd`, which has no files yet; `save` writes what has changed."""

    def __init__(self, fd: int, uuid: UUID) -> None:
        self._fd = fd
        self._uuid = uuid
        self._superblock = read_superblock(fd)
        self._group_size = self._superblock.blocks_per_group
        count = -(-self._superblock.blocks // self._group_size)
        self._descriptors = decode_descriptors(read_at(fd, count * DESCRIPTOR_SIZE, BLOCK_SIZE))
        # Block bitmaps by group, as numbers; what has been taken is still missing in them.
        self._bitmaps: dict[int, int] = {}
        self._runs = self._free_runs()
        self._next, self._left = 0, 0

    def release(self, first: int, count: int) -> None:
        """Make blocks free again, before any are taken."""
        for block in range(first, first + count):
            group, offset = divmod(block, self._group_size)
            self._bitmaps[group] = self._bitmap(group) & ~(1 << offset)

    def take(self, count: int) -> list[tuple[int, int]]:
        """Take the next `count` free blocks and return them in runs: (first, count). There must be so many."""
        taken = []
        while count:
            if not self._left:
                self._next, self._left = next(self._runs)
            length = min(count, self._left)
            first = self._next
            self._next += length
            self._left -= length
            count -= length
            taken.append((first, length))
        return taken

    def holding(self, number: int) -> int:
        """Return the group that holds inode `number`."""
        return (number - 1) // self._superblock.inodes_per_group

    def inode_offset(self, number: int) -> int:
        """Return where inode `number` is in the image, in bytes."""
        table = self._descriptors[self.holding(number)].inode_table
        return table * BLOCK_SIZE + (number - 1) % self._superblock.inodes_per_group * INODE_SIZE

    def save(self, inodes: int, directories: Counter[int]) -> None:
        """Write bitmaps, descriptors and the superblock's counts; the inodes from 1 to `inodes` are in use.

        `directories` says how many directories each group holds.
        """
        for group in self._bitmaps:
            self._save_blocks(group)
        for group in range(self.holding(inodes) + 1):
            self._save_inodes(group, inodes)
            self._descriptors[group].directories = directories[group]
        table = b"".join(each.encode(group, self._uuid) for group, each in enumerate(self._descriptors))
        write_at(self._fd, table, BLOCK_SIZE)
        free_blocks = sum(each.free_blocks for each in self._descriptors)
        write_free(self._fd, free_blocks, self._superblock.inodes - inodes)

    def _free_runs(self) -> Iterator[tuple[int, int]]:
        for group in range(len(self._descriptors)):
            bitmap = self._bitmaps[group] = self._bitmap(group)
            bits = f"{bitmap:0{_BITMAP_BITS}b}"[::-1]
            for run in re.finditer("0+", bits):
                yield group * self._group_size + run.start(), len(run[0])

    def _bitmap(self, group: int) -> int:
        if group in self._bitmaps:
            return self._bitmaps[group]
        descriptor = self._descriptors[group]
        if descriptor.flags & BLOCK_UNINIT:
            # What such a group has of its own, copies of superblock and descriptors, is at its front.
            return _padding(self._group_size) | _ones(self._group_size - descriptor.free_blocks)
        return int.from_bytes(read_at(self._fd, BLOCK_SIZE, descriptor.block_bitmap * BLOCK_SIZE), "little")

    def _save_blocks(self, group: int) -> None:
        taken = min(max(self._next - group * self._group_size, 0), self._group_size)
        used = self._bitmaps[group] | _ones(taken)
        bitmap = used.to_bytes(BLOCK_SIZE, "little")
        descriptor = self._descriptors[group]
        write_at(self._fd, bitmap, descriptor.block_bitmap * BLOCK_SIZE)
        descriptor.block_bitmap_checksum = checksum((self._uuid.bytes, bitmap[: self._group_size // 8]))
        # Blocks that do not exist, behind the end of a group or of the file system, count as used.
        descriptor.free_blocks = _BITMAP_BITS - used.bit_count()
        descriptor.flags &= ~BLOCK_UNINIT

    def _save_inodes(self, group: int, inodes: int) -> None:
        available = self._superblock.inodes_per_group
        used = min(inodes - group * available, available)
        bitmap = (_padding(available) | _ones(used)).to_bytes(BLOCK_SIZE, "little")
        descriptor = self._descriptors[group]
        write_at(self._fd, bitmap, descriptor.inode_bitmap * BLOCK_SIZE)
        descriptor.inode_bitmap_checksum = checksum((self._uuid.bytes, bitmap[: available // 8]))
        descriptor.free_inodes = descriptor.unused_inodes = available - used
        descriptor.flags &= ~INODE_UNINIT


def _ones(count: int) -> int:
    return (1 << count) - 1


def _padding(count: int) -> int:
    """All bits of a bitmap behind the first `count`."""
    return _ones(_BITMAP_BITS) ^ _ones(count)
