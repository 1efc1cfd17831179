"""Where inodes stand that mkfs.erofs is not given: as tightly as they fit into blocks.

An inode may have its last, partial block of data right behind it, if both are within one block (erofs.rst, "On-disk
details"); one that fits into a block never crosses into the next, so neither does what is behind it.
"""

from __future__ import annotations

from builder.disk.erofs.layout import BLOCK, INODE_SIZE, SLOT

_SLOTS = BLOCK // SLOT

# The largest last block, in bytes, that may stand behind an inode. What is larger would leave no room for a few
# extended attributes, and hardly any block is saved with it.
MOST_BEHIND = BLOCK - INODE_SIZE - 256


def behind(xattr_size: int, size: int) -> int:
    """Return how many of `size` bytes of data stand right behind their inode: those of the last block, or none."""
    tail = size % BLOCK
    return tail if tail <= min(MOST_BEHIND, BLOCK - INODE_SIZE - xattr_size) else 0


class Places:
    """Gives out places from `end` on, a position in bytes where a block begins; `end` grows by whole blocks."""

    def __init__(self, end: int) -> None:
        self.end = end
        # Positions of free stretches at the ends of blocks, by their length in slots; bit n: there are some of n.
        self._free: list[list[int]] = [[] for _ in range(_SLOTS)]
        self._lengths = 0

    def take(self, size: int) -> int:
        """Find the position of an inode that takes so many bytes, with what is right behind it."""
        slots = -(-size // SLOT)
        enough = self._lengths >> slots << slots
        if enough:
            # The shortest stretch that is long enough.
            length = (enough & -enough).bit_length() - 1
            position = self._free[length].pop()
            if not self._free[length]:
                self._lengths ^= 1 << length
        else:
            position = self.end
            length = -(-slots // _SLOTS) * _SLOTS
            self.end += length * SLOT
        left = length - slots
        if left * SLOT >= INODE_SIZE:
            self._free[left].append(position + slots * SLOT)
            self._lengths |= 1 << left
        return position
