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


def free_blocks(layout: Layout) -> int:
    """Reckon how many blocks are free in an empty file system of that layout; below zero where it cannot be."""
    groups = -(-layout.blocks // _BLOCKS_PER_GROUP)
    tables = -(-max(1, -(-layout.inodes // groups)) // _INODES_PER_BLOCK)
    descriptors = -(-groups // _DESCRIPTORS_PER_BLOCK)
    # Room to grow a thousandfold.
    most = min(layout.blocks * 1024, 0xFFFFFFFF)
    most_groups = -(-most // _BLOCKS_PER_GROUP)
    kept = min(max(0, -(-most_groups // _DESCRIPTORS_PER_BLOCK) - descriptors), _ADDRESSES_PER_BLOCK)
    own = groups * (2 + tables) + _superblocks(groups) * (1 + descriptors + kept)
    return layout.blocks - own - _ALWAYS - layout.journal * _BLOCKS_PER_MIB


def _superblocks(groups: int) -> int:
    """Count the groups with a copy of the superblock: 0, 1, and powers of 3, 5 and 7."""
    having = {0, 1}
    for base in (3, 5, 7):
        power = base
        while power < groups:
            having.add(power)
            power *= base
    return len([group for group in having if group < groups])
