"""What an empty file system takes for itself, reckoned as mke2fs does (e2fsprogs, lib/ext2fs/initialize.c).

It is a guess, held against what mke2fs has made: asking mke2fs takes milliseconds and four syncs each time.
"""

from __future__ import annotations

from builder.disk.ext4.layout import BLOCK_SIZE, INODE_SIZE
from builder.disk.ext4.mke2fs import Layout

_BLOCKS_PER_GROUP = 8 * BLOCK_SIZE
_INODES_PER_BLOCK = BLOCK_SIZE // INODE_SIZE
_DESCRIPTORS_PER_BLOCK = BLOCK_SIZE // 64
_ADDRESSES_PER_BLOCK = BLOCK_SIZE // 4
# The root directory, four blocks of lost+found, and the block that names those kept for growth.
_ALWAYS = 1 + 4 + 1
_BLOCKS_PER_MIB = (1 << 20) // BLOCK_SIZE
# A last group that has fewer blocks for files is left out.
_LEAST_IN_GROUP = 50


def free_blocks(layout: Layout) -> int:
    """Reckon how many blocks are free in an empty file system of that layout; below zero where it cannot be."""
    groups = _groups(layout)
    own = groups * _tables(layout) + len(_superblocks(groups)) * _copy(layout)
    return layout.blocks - own - _ALWAYS - layout.journal * _BLOCKS_PER_MIB


def whole(layout: Layout) -> int:
    """Reckon the least number of blocks, not less than those of `layout`, of which mke2fs leaves none out."""
    last = _groups(layout) - 1
    rest = layout.blocks - last * _BLOCKS_PER_GROUP
    least = _tables(layout) + (_copy(layout) if last in _superblocks(last + 1) else 0) + _LEAST_IN_GROUP
    return layout.blocks + max(0, least - rest) if last else layout.blocks


def _groups(layout: Layout) -> int:
    return -(-layout.blocks // _BLOCKS_PER_GROUP)


def _tables(layout: Layout) -> int:
    """Count the blocks of a group's bitmaps and its inode table."""
    return 2 + -(-max(1, -(-layout.inodes // _groups(layout))) // _INODES_PER_BLOCK)


def _copy(layout: Layout) -> int:
    """Count the blocks of a superblock, of the descriptors behind it, and of those kept for growth a thousandfold."""
    descriptors = -(-_groups(layout) // _DESCRIPTORS_PER_BLOCK)
    most = min(layout.blocks * 1024, 0xFFFFFFFF)
    most_groups = -(-most // _BLOCKS_PER_GROUP)
    kept = min(max(0, -(-most_groups // _DESCRIPTORS_PER_BLOCK) - descriptors), _ADDRESSES_PER_BLOCK)
    return 1 + descriptors + kept


def _superblocks(groups: int) -> set[int]:
    """Name the groups with a copy of the superblock: 0, 1, and powers of 3, 5 and 7."""
    having = {0, 1}
    for base in (3, 5, 7):
        power = base
        while power < groups:
            having.add(power)
            power *= base
    return {group for group in having if group < groups}
