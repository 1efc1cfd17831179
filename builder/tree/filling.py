"""A file that is filled from its front to its back: many small pieces become few large writes, and zeros become holes.

Which blocks hold more than zeros is seen while they are in memory: nobody has to read them again for that, or to ask
the file system, and what a disk has of a file with holes is the same wherever it was kept meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from builder.exact import Data, write_at
from builder.tree.runs import ALIGNMENT, Runs, filled

# What is in memory at most, in bytes: a processor's cache holds it until it is written.
_SIZE = 1 << 18
# So many bytes at once are written from where they are.
_MANY = 1 << 16


class Filling:
    """What is written to the empty file `fd`; `runs` are the blocks of it that hold more than zeros.

    `written` is told of each piece of them, whole blocks, and where it is in the file, once it is there.
    """

    def __init__(self, fd: int, written: Callable[[int, memoryview], None] | None = None) -> None:
        self.fd = fd
        self._written = written
        self.runs = Runs()
        # By a view: what is assigned to a part of a bytearray is made another one first.
        self._buffer = memoryview(bytearray(_SIZE))
        # Where in the file the buffer begins, how much of it is filled, and how long the file is.
        self._start = self._filled = self._length = 0

    def put(self, position: int, data: Data) -> None:
        """Take `data` for a position behind all that came before, which may be in the same block."""
        if position + len(data) > self._start + _SIZE:
            position, data = self._make_room(position, memoryview(data))
        at = position - self._start
        if at > self._filled:
            self._buffer[self._filled : at] = bytes(at - self._filled)
        self._filled = at + len(data)
        self._buffer[at : self._filled] = data

    def settle(self, end: int) -> None:
        """Have the file hold all that was put, and be `end` bytes long, whole blocks; what comes next goes behind."""
        self._write()
        self._start = end
        if end > self._length:
            # A hole at the end is not written by anybody.
            os.ftruncate(self.fd, end)
            self._length = end

    def _make_room(self, position: int, data: memoryview) -> tuple[int, memoryview]:
        """Write what is in memory, and of `data` many whole blocks from where they are; return what is left, and where.

        What is left fits into the buffer.
        """
        if position >= self._start + _SIZE:
            self._write()
            self._start = position - position % ALIGNMENT
            if position + len(data) <= self._start + _SIZE:
                return position, data
        # The block in which it begins, perhaps with what came before, is whole then.
        rest = -position % ALIGNMENT
        self.put(position, data[:rest])
        self._write()
        whole = rest + (len(data) - rest) // ALIGNMENT * ALIGNMENT if len(data) >= _MANY else rest
        self._save(data[rest:whole], position + rest)
        self._start = position + whole
        return self._start, data[whole:]

    def _write(self) -> None:
        size = -(-self._filled // ALIGNMENT) * ALIGNMENT
        self._buffer[self._filled : size] = bytes(size - self._filled)
        self._save(self._buffer[:size], self._start)
        self._filled = 0

    def _save(self, blocks: memoryview, position: int) -> None:
        found = list(filled(blocks))
        for first, behind in found:
            write_at(self.fd, blocks[first * ALIGNMENT : behind * ALIGNMENT], position + first * ALIGNMENT)
        # All is written: what fails may be tried again.
        for first, behind in found:
            self.runs.add(position // ALIGNMENT + first, position // ALIGNMENT + behind)
            self._length = position + behind * ALIGNMENT
            if self._written is not None:
                self._written(position + first * ALIGNMENT, blocks[first * ALIGNMENT : behind * ALIGNMENT])
