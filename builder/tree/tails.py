"""The last, partial blocks of contents, apart from their whole ones: in a file of their own, one behind the other.

A format that stores tails apart from whole blocks so gets each kind in few long stretches.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left

from builder.exact import Data
from builder.tree.filling import Filling
from builder.tree.runs import ALIGNMENT


class Tails:
    """Tails of up to `most` bytes, in the empty file `fd`; each stands for a block of positions of the spool.

    16 bytes of memory each, as anybody can make any number of them.
    """

    def __init__(self, fd: int, most: int) -> None:
        self.fd = fd
        self.most = most
        self._filling = Filling(fd)
        # The blocks for which they stand, and where they begin in the file; both in bytes, in order.
        self._blocks = array("Q")
        self._starts = array("Q")
        self._end = 0

    def of(self, size: int) -> int:
        """Say how many bytes at the end of a content of `size` bytes belong here."""
        tail = size % ALIGNMENT
        return tail if tail <= self.most else 0

    def begin(self, block: int, size: int) -> None:
        """Take a tail of `size` bytes; it stands for a block behind all others. What is not `put` is zeros."""
        self._blocks.append(block)
        self._starts.append(self._end)
        self._end += size

    def put(self, position: int, data: Data) -> None:
        """Take `data` for a position in the tail that came last."""
        self._filling.put(self._starts[-1] + position, data)

    def settle(self) -> None:
        """Have the file hold all there is. Raises OSError, as ENOSPC."""
        self._end = -(-self._end // ALIGNMENT) * ALIGNMENT
        self._filling.settle(self._end)

    def find(self, position: int) -> tuple[int, bool]:
        """Count the tails for blocks in front of the one in which a position is, and say if that has one."""
        block = position - position % ALIGNMENT
        number = bisect_left(self._blocks, block)
        return number, number < len(self._blocks) and self._blocks[number] == block

    def start(self, number: int) -> int:
        """Say where in the file a tail begins."""
        return self._starts[number]

    def block(self, number: int, otherwise: int) -> int:
        """Say for which block a tail stands; `otherwise`, if there are not so many."""
        return self._blocks[number] if number < len(self._blocks) else otherwise
