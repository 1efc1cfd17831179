"""The content of every file of the tree: an anonymous file, written once, as it arrives, and files that are lent to it.

Positions count through all of them, in the order in which they came: where a lent file stands, the own one has a hole.
A second anonymous file may have the contents' last, partial blocks (tails.py): they have positions like all others, and
the own file no room for them.
"""

from __future__ import annotations

import os
import tempfile
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from builder.exact import Data, copy, read_at, send
from builder.tree.filling import Filling
from builder.tree.nodes import EMPTY, Content
from builder.tree.runs import ALIGNMENT, Run, Runs
from builder.tree.tails import Tails

# Parts of a content, from its front to its back: where in it each begins, and its bytes; what is between them is zeros.
Pieces = Iterable[tuple[int, Data]]


@dataclass(frozen=True, slots=True)
class Lent:
    """A file laid out as a spool: its `runs` of blocks hold more than zeros; what is between them reads as zeros."""

    fd: int
    size: int
    runs: Runs


class Spool:
    """Content by offset, in a file without a name: whatever ends the process, nothing of it stays behind.

    `end` is how many bytes it has: where the next content begins; `lent` of them are in files that are lent, without
    holes. `written` is told what goes into the own file (see Filling). A `spent` one is not read again once it is
    packed: its own file may become the disk.
    """

    def __init__(
        self,
        fd: int,
        written: Callable[[int, memoryview], None] | None = None,
        *,
        tails: Tails | None = None,
        spent: bool = False,
    ) -> None:
        self.end = self.lent = self._settled = self._own_end = 0
        self.spent = spent
        self._own = Filling(fd, written)
        self._tails = Tails(-1, 0) if tails is None else tails
        # Where each lent file begins, in order.
        self._starts: list[int] = []
        self._lent: list[Lent] = []

    @property
    def fd(self) -> int:
        """The own file, with all in it that was added. Raises OSError, as ENOSPC."""
        self.settle()
        return self._own.fd

    @property
    def runs(self) -> Runs:
        """The blocks of the own file that hold more than zeros. Raises OSError, as ENOSPC."""
        self.settle()
        return self._own.runs

    def settle(self) -> None:
        """Have all that was added in the file. Raises OSError, as ENOSPC."""
        if self._settled < self.end:
            self._own.settle(self._own_end)
            self._tails.settle()
            self._settled = self.end

    def add(self, size: int, pieces: Pieces) -> Content:
        """Store `size` bytes, of which `pieces` are more than a hole.

        They may still be in memory afterwards: a failure to write them shows when more comes, or at `settle`. Raises
        ValueError for pieces behind `size`, or not in order: what is there already would be overwritten.
        """
        if size == 0:
            return EMPTY
        offset, start, end = self.end, self._own_end, 0
        tail = self._tails.of(size)
        whole = size - tail
        if tail:
            self._tails.begin(offset + whole, tail)
        for position, data in pieces:
            if position < end:
                raise ValueError(f"content goes back from byte {end} to {position}")
            end = position + len(data)
            if end > size:
                raise ValueError(f"content is {end - size} bytes longer than the {size} announced")
            if end <= whole:
                self._own.put(start + position, data)
            else:
                cut = max(whole - position, 0)
                self._own.put(start + position, memoryview(data)[:cut])
                self._tails.put(position + cut - whole, memoryview(data)[cut:])
        self.end = offset + _aligned(size)
        self._own_end = start + _aligned(whole)
        return Content(offset, size)

    def keep(self, data: bytes) -> Content:
        """Store a small content that is at hand."""
        return self.add(len(data), [(0, data)])

    def borrow(self, lent: Lent) -> int:
        """Take a file over as it is, and say at which offset its first byte is now; it is closed with the spool."""
        start = self.end
        self._starts.append(start)
        self._lent.append(lent)
        self.lent += sum(behind - first for first, behind in lent.runs) * ALIGNMENT
        self.end += _aligned(lent.size)
        self._own_end += _aligned(lent.size)
        return start

    def read(self, content: Content) -> bytes:
        """Return a small content whole."""
        return self.read_at(content.offset, content.size)

    def read_at(self, position: int, size: int) -> bytes:
        """Return `size` bytes of one content, holes as zeros, and of the block in which it ends."""
        fd, first, end = self._file(position)
        if position + size <= end:
            return read_at(fd, size, position - first)
        return b"".join(read_at(fd, length, start) for fd, start, length in self.parts(position, size))

    def data(self, content: Content) -> Iterable[tuple[int, int]]:
        """Give (position in the spool, length) of each stretch of `content` that holds more than zeros, in order.

        Each is whole blocks, but where the content ends.
        """
        position, end = content.offset, content.offset + content.size
        last = end - content.size % ALIGNMENT
        is_apart = last < end and self._tails.find(last)[1]
        whole = last if is_apart else end
        start, runs = self._runs(position)
        first, behind = (position - start) // ALIGNMENT, _aligned(whole - start) // ALIGNMENT
        found: Iterable[tuple[int, int]] = [(position, whole - position)]
        # Nearly no content has holes.
        if not runs.cover(first, behind):
            found = _stretches(start, runs.between(first, behind), whole)
        return chain(found, [(last, end - last)]) if is_apart else found

    def copy(self, content: Content, fd: int) -> None:
        """Make the empty file `fd` hold `content`, holes included; nothing depends on the descriptors' positions."""
        for start, length in self.data(content):
            self.copy_part(start, length, fd, start - content.offset)
        os.ftruncate(fd, content.size)

    def copy_part(self, start: int, length: int, fd: int, position: int) -> None:
        """Copy `length` bytes from `start` in the spool to `position` in the file `fd`."""
        for source, first, step in self.parts(start, length):
            copy(source, first, fd, position, step)
            position += step

    def parts(self, start: int, length: int) -> Iterator[tuple[int, int, int]]:
        """Yield where `length` bytes from `start` on are, in order: (file, position in it, length)."""
        while length:
            fd, first, end = self._file(start)
            step = min(length, end - start)
            yield fd, start - first, step
            start, length = start + step, length - step

    def own_position(self, position: int) -> int:
        """Say where in the own file a position is, or if it is elsewhere, what follows it in the own file."""
        return position - self._missing(position)

    def send(self, start: int, length: int, pipe: int) -> None:
        """Write `length` bytes from `start` in the spool to a pipe."""
        for fd, first, step in self.parts(start, length):
            send(fd, first, pipe, step)

    def close(self) -> None:
        """Close what was lent."""
        while self._lent:
            os.close(self._lent.pop().fd)

    def _place(self, position: int) -> int | None:
        """Say in which of the lent files a position is, if in any."""
        place = bisect_right(self._starts, position) - 1
        return place if place >= 0 and position < self._starts[place] + _aligned(self._lent[place].size) else None

    def _runs(self, position: int) -> tuple[int, Runs]:
        """Give the runs of the file that holds a position, and where that file begins."""
        if (place := self._place(position)) is not None:
            return self._starts[place], self._lent[place].runs
        return self._missing(position), self.runs

    def _file(self, position: int) -> tuple[int, int, int]:
        """Give the file that holds a position, where that file begins, and where another one may."""
        if (place := self._place(position)) is not None:
            start = self._starts[place]
            return self._lent[place].fd, start, start + _aligned(self._lent[place].size)
        self.settle()
        number, is_apart = self._tails.find(position)
        if is_apart:
            block = position - position % ALIGNMENT
            return self._tails.fd, block - self._tails.start(number), block + ALIGNMENT
        behind = bisect_right(self._starts, position)
        end = self._starts[behind] if behind < len(self._starts) else self.end
        return self._own.fd, number * ALIGNMENT, min(end, self._tails.block(number, end))

    def _missing(self, position: int) -> int:
        """Say how many of the positions before one the own file has no room for: those of tails."""
        return self._tails.find(position)[0] * ALIGNMENT


def _stretches(start: int, runs: Iterable[Run], end: int) -> Iterator[tuple[int, int]]:
    for first, behind in runs:
        begin = start + first * ALIGNMENT
        yield begin, min(start + behind * ALIGNMENT, end) - begin


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


@contextmanager
def open_spool(directory: Path, *, tails: int = 0, spent: bool = False) -> Iterator[Spool]:
    """Open an empty spool on the file system of `directory`, which keeps `tails` of up to so many bytes apart.

    See Spool for one that is to be `spent`.
    """
    with _nameless(directory) as fd, _nameless(directory) as other:
        spool = Spool(fd, tails=Tails(other, tails), spent=spent)
        try:
            yield spool
        finally:
            spool.close()


@contextmanager
def _nameless(directory: Path) -> Iterator[int]:
    try:
        fd = os.open(directory, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
    except OSError:
        # Where the file system has none (older overlayfs, NFS): a file unlinked at once, which can have no other name.
        # If something else is wrong, this says so.
        with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
            yield file.fileno()
        return
    try:
        yield fd
    finally:
        os.close(fd)
