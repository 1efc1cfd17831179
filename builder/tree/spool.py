"""The content of every file of the tree: an anonymous file, written once, as it arrives, and files that are lent to it.

Positions count through all of them, in the order in which they came: where a lent file stands, the own one has a hole.
"""

from __future__ import annotations

import errno
import os
import tempfile
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from builder.exact import copy, read_at, send, write_next
from builder.tree.nodes import EMPTY, Content

# Content starts on a page boundary: holes stay holes, and a file system with reflinks can share the blocks.
ALIGNMENT = 4096

# (first, behind) of a run of blocks of ALIGNMENT bytes.
Run = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Lent:
    """A file laid out as a spool: its `runs` of blocks hold more than zeros; what is between them reads as zeros."""

    fd: int
    size: int
    runs: Sequence[Run]


class Spool:
    """Content by offset, in a file without a name: whatever ends the process, nothing of it stays behind.

    `end` is how many bytes it has: where the next content begins.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.end = 0
        # A range known to be data: finding where it ends may take long, and neighbours need not ask again.
        self._data_start = self._data_end = 0
        # Where each lent file begins, in order.
        self._starts: list[int] = []
        self._lent: list[Lent] = []

    def add(self, size: int, write: Callable[[int], None]) -> Content:
        """Store `size` bytes that `write(fd)` puts at the descriptor's position, leaving out holes.

        Raises ValueError if `write` goes on after `size` bytes: what comes next would overwrite that.
        """
        if size == 0:
            return EMPTY
        offset = self.end
        os.lseek(self.fd, offset, os.SEEK_SET)
        write(self.fd)
        excess = os.lseek(self.fd, 0, os.SEEK_CUR) - (offset + size)
        if excess > 0:
            raise ValueError(f"content is {excess} bytes longer than the {size} announced")
        self.end = offset + _aligned(size)
        # The tail of a sparse file may be a hole, and a hole at the end is not written by anybody.
        os.ftruncate(self.fd, self.end)
        return Content(offset, size)

    def keep(self, data: bytes) -> Content:
        """Store a small content that is at hand."""
        return self.add(len(data), lambda fd: write_next(fd, data))

    def borrow(self, lent: Lent) -> int:
        """Take a file over as it is, and say at which offset its first byte is now; it is closed with the spool."""
        start = self.end
        self._starts.append(start)
        self._lent.append(lent)
        self.end += _aligned(lent.size)
        return start

    def read(self, content: Content) -> bytes:
        """Return a small content whole."""
        return self.read_at(content.offset, content.size)

    def read_at(self, position: int, size: int) -> bytes:
        """Return `size` bytes of one content, holes as zeros, and of the block in which it ends."""
        fd, start, _ = self._file(position)
        return read_at(fd, size, position - start)

    def data(self, content: Content) -> Iterator[tuple[int, int]]:
        """Yield (position in the spool, length) of each stretch of `content` that is not a hole, in order."""
        position, end = content.offset, content.offset + content.size
        if (place := self._place(position)) is not None:
            start = self._starts[place]
            for first, behind in _runs(self._lent[place].runs, position - start):
                begin = max(start + first * ALIGNMENT, position)
                if begin >= end:
                    return
                yield begin, min(start + behind * ALIGNMENT, end) - begin
            return
        while position < end:
            if not self._data_start <= position < self._data_end and not self._find_data(position):
                return  # only holes are left
            start = max(self._data_start, position)
            if start >= end:
                return
            position = min(self._data_end, end)
            yield start, position - start

    def is_known(self, content: Content) -> bool:
        """Say whether each block of `data(content)` is known to hold more than zeros."""
        return self._place(content.offset) is not None

    def copy(self, content: Content, fd: int) -> None:
        """Make the empty file `fd` hold `content`, holes included; nothing depends on the descriptors' positions."""
        for start, length in self.data(content):
            self.copy_part(start, length, fd, start - content.offset)
        os.ftruncate(fd, content.size)

    def copy_part(self, start: int, length: int, fd: int, position: int) -> None:
        """Copy `length` bytes from `start` in the spool to `position` in the file `fd`."""
        while length:
            source, first, end = self._file(start)
            step = min(length, end - start)
            copy(source, start - first, fd, position, step)
            start, position, length = start + step, position + step, length - step

    def send(self, start: int, length: int, pipe: int) -> None:
        """Write `length` bytes of one content, from `start` in the spool, to a pipe."""
        fd, first, _ = self._file(start)
        send(fd, start - first, pipe, length)

    def close(self) -> None:
        """Close what was lent."""
        while self._lent:
            os.close(self._lent.pop().fd)

    def _place(self, position: int) -> int | None:
        """Say in which of the lent files a position is, if in any."""
        place = bisect_right(self._starts, position) - 1
        return place if place >= 0 and position < self._starts[place] + _aligned(self._lent[place].size) else None

    def _file(self, position: int) -> tuple[int, int, int]:
        """Give the file that holds a position, where that file begins, and where another one may."""
        if (place := self._place(position)) is not None:
            start = self._starts[place]
            return self._lent[place].fd, start, start + _aligned(self._lent[place].size)
        behind = bisect_right(self._starts, position)
        return self.fd, 0, self._starts[behind] if behind < len(self._starts) else self.end

    def _find_data(self, position: int) -> bool:
        """Remember the first range of data that ends behind `position`; return whether there is one."""
        try:
            self._data_start = os.lseek(self.fd, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return False
        self._data_end = os.lseek(self.fd, self._data_start, os.SEEK_HOLE)
        return True


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _runs(runs: Sequence[Run], position: int) -> Iterator[Run]:
    """Yield the runs that end behind a position, in bytes."""
    block = position // ALIGNMENT
    place = bisect_right(runs, block, key=lambda run: run[1])
    while place < len(runs):
        yield runs[place]
        place += 1


@contextmanager
def open_spool(directory: Path) -> Iterator[Spool]:
    """Open an empty spool on the file system of `directory`."""
    # O_TMPFILE, or where the file system has none (older overlayfs, NFS), a file unlinked at once.
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        spool = Spool(file.fileno())
        try:
            yield spool
        finally:
            spool.close()
