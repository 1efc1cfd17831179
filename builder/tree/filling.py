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


class Filling:
    """What is written to the empty file `fd`; `runs` are the blocks of it that hold more than zeros.

    `written` is told of each piece of them, whole blocks, and where it is in the file, once it is there.
    """

    def __init__(self, fd: int, written: Callable[[int, memoryview], None] | None = None) -> None:
        self.fd = fd
        self._written = written
        self.runs = Runs()
        self._buffer = bytearray(_SIZE)
        # Where in the file the buffer begins, how much of it is filled, and how long the file is.
        self._start = self._filled = self._length = 0

    def put(self, position: int, data: Data) -> None:
        """Take `data` for a position behind all that came before, which may be in the same block."""
        rest = memoryview(data)
        while rest:
            if position >= self._start + _SIZE:
                self._write()
                self._start = position - position % ALIGNMENT
            at = position - self._start
            part = rest[: _SIZE - at]
            if at > self._filled:
                self._buffer[self._filled : at] = bytes(at - self._filled)
            self._filled = at + len(part)
            self._buffer[at : self._filled] = part
            position += len(part)
            rest = rest[len(part) :]

    def settle(self, end: int) -> None:
        """Have the file hold all that was put, and be `end` bytes long, whole blocks; what comes next goes behind."""
        self._write()
        self._start = end
        if end > self._length:
            # A hole at the end is not written by anybody.
            os.ftruncate(self.fd, end)
            self._length = end

    def _write(self) -> None:
        size = -(-self._filled // ALIGNMENT) * ALIGNMENT
        self._buffer[self._filled : size] = bytes(size - self._filled)
        found = list(filled(self._buffer, size))
        with memoryview(self._buffer) as view:
            for first, behind in found:
                write_at(self.fd, view[first * ALIGNMENT : behind * ALIGNMENT], self._start + first * ALIGNMENT)
            # All is written: what fails may be tried again.
            for first, behind in found:
                self.runs.add(self._start // ALIGNMENT + first, self._start // ALIGNMENT + behind)
                self._length = self._start + behind * ALIGNMENT
                if self._written is not None:
                    self._written(self._start + first * ALIGNMENT, view[first * ALIGNMENT : behind * ALIGNMENT])
        self._filled = 0
