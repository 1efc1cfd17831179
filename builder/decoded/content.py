"""The content of a layer as it is kept: which blocks hold more than zeros, and checksums of all of them.

CRC-32C of up to a MiB each, as btrfs has one per block: it finds every run of up to 32 flipped bits, and all but one in
four thousand million of other accidents. Reading and summing takes half a second per GB. Against people it is no help,
and need not be: nobody else can write the cache.
"""

from __future__ import annotations

import errno
import os
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from google_crc32c import value as crc32c

from builder.exact import read_at
from builder.tree.runs import ALIGNMENT, Run, filled

_PIECE = 1 << 20
_ZEROS = bytes(_PIECE)

# Who alternates zeros and content, block by block, over gigabytes means no good.
_MAX_RUNS = 1 << 20


class Damaged(Exception):
    """What is kept of a layer is not what was kept; `reason` is a sentence about it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Outdated(Damaged):
    """What is kept of a layer was kept by another version of this program; nothing is wrong with it."""


class Unkept(Exception):
    """A layer that is not worth keeping, or cannot be."""


@dataclass(frozen=True, slots=True)
class Content:
    """The `size` bytes of a file laid out as a spool: `runs` of blocks, and a checksum of each of their pieces."""

    size: int
    runs: tuple[Run, ...]
    checks: array[int]


def survey(fd: int, size: int) -> Content:
    """Look through the first `size` bytes of a file, whole blocks. Raises Unkept, OSError."""
    runs: list[Run] = []
    checks = array("I")
    for start, end in _stretches(fd, 0, size):
        for position, length in _pieces([(start // ALIGNMENT, end // ALIGNMENT)]):
            data = read_at(fd, length, position)
            for first, behind in filled(data, length):
                checks.append(crc32c(data[first * ALIGNMENT : behind * ALIGNMENT]))
                _extend(runs, position // ALIGNMENT + first, position // ALIGNMENT + behind)
            if len(runs) > _MAX_RUNS:
                raise Unkept
    return Content(size, tuple(runs), checks)


def verify(fd: int, content: Content) -> None:
    """Read all of a content again. Raises Damaged if a byte is another one, OSError."""
    behind = 0
    for first, end in (*content.runs, (content.size // ALIGNMENT, 0)):
        for start, stop in _stretches(fd, behind * ALIGNMENT, first * ALIGNMENT):
            _check_zeros(fd, start, stop)
        behind = end
    pieces = list(_pieces(content.runs))
    if len(pieces) != len(content.checks):
        raise Damaged("its checksums do not fit its content")
    for (start, length), check in zip(pieces, content.checks, strict=True):
        if crc32c(read_at(fd, length, start)) != check:
            raise Damaged(f"its content is not what it was, from byte {start} on")


def _extend(runs: list[Run], first: int, behind: int) -> None:
    if runs and runs[-1][1] == first:
        runs[-1] = (runs[-1][0], behind)
    else:
        runs.append((first, behind))


def _pieces(runs: Sequence[Run]) -> Iterator[tuple[int, int]]:
    """Cut runs where a MiB of the file ends, into (start, length) pieces that have a checksum each, in bytes."""
    for first, behind in runs:
        start, end = first * ALIGNMENT, behind * ALIGNMENT
        while start < end:
            length = min(_PIECE - start % _PIECE, end - start)
            yield start, length
            start += length


def _stretches(fd: int, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of what the file system does not call a hole, from `start` to `stop`, in whole blocks.

    No two of them touch, not even where the file system's blocks, and so its holes, are smaller than ours.
    """
    begin = end = start
    while end < stop:
        try:
            data = os.lseek(fd, end, os.SEEK_DATA) // ALIGNMENT * ALIGNMENT
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            break
        if data >= stop:
            break
        if data > end:
            if end > begin:
                yield begin, end
            begin = data
        end = min(-(-os.lseek(fd, data, os.SEEK_HOLE) // ALIGNMENT) * ALIGNMENT, stop)
    if end > begin:
        yield begin, end


def _check_zeros(fd: int, start: int, stop: int) -> None:
    for position in range(start, stop, _PIECE):
        length = min(_PIECE, stop - position)
        if read_at(fd, length, position) != memoryview(_ZEROS)[:length]:
            raise Damaged(f"it has content at byte {position} that it had not")
