"""The content of a layer as it is kept: which blocks hold more than zeros, and checksums of all of them.

CRC-32C of up to a MiB each, as btrfs has one per block: it finds every run of up to 32 flipped bits, and all but one in
four thousand million of other accidents. Reading and summing takes half a second per GB. Against people it is no help,
and need not be: nobody else can write the cache.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from google_crc32c import extend
from google_crc32c import value as crc32c

from builder.exact import read_at
from builder.files.holes import written_pieces
from builder.tree.runs import ALIGNMENT, Run, Runs

_PIECE = 1 << 20
_ZEROS = bytes(_PIECE)

# Who alternates zeros and content, block by block, over gigabytes means no good.
_MAX_RUNS = 1 << 20


class Damaged(Exception):
    """A layer in the cache is not what was put there; `reason` is a sentence about it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Outdated(Damaged):
    """A layer in the cache is another version's of this program; nothing is wrong with it."""


class Unkept(Exception):
    """A layer that is not worth keeping, or cannot be."""


@dataclass(frozen=True, slots=True)
class Content:
    """The `size` bytes of a file laid out as a spool: `runs` of blocks, and a checksum of each of their pieces."""

    size: int
    runs: Runs
    checks: array[int]

    def is_for_keeping(self) -> bool:
        """Say whether it is in as few pieces as content is."""
        return len(self.runs) <= _MAX_RUNS


class Checksums:
    """The checksums of a content while it is written; `sums` has those of all that was taken so far."""

    def __init__(self) -> None:
        self.sums = array("I")
        self._end = 0

    def take(self, position: int, data: memoryview) -> None:
        """Sum up whole blocks, which are behind all that came before."""
        rest = data
        while rest:
            part = bytes(rest[: _PIECE - position % _PIECE])
            if position == self._end and position % _PIECE:
                self.sums[-1] = extend(self.sums[-1], part)
            else:
                self.sums.append(crc32c(part))
            self._end = position = position + len(part)
            rest = rest[len(part) :]


def verify(fd: int, content: Content) -> None:
    """Read all of a content again. Raises Damaged if a byte is another one, OSError."""
    behind, blocks = 0, content.size // ALIGNMENT
    for first, end in (*content.runs, (blocks, blocks)):
        if not behind <= first <= end <= blocks:
            raise Damaged(f"its content is said to be in blocks {first} to {end} of {blocks}")
        for position, length in written_pieces(fd, first * ALIGNMENT, behind * ALIGNMENT):
            if read_at(fd, length, position) != memoryview(_ZEROS)[:length]:
                raise Damaged(f"it has content at byte {position} that it had not")
        behind = end
    pieces = list(_pieces(content.runs))
    if len(pieces) != len(content.checks):
        raise Damaged("its checksums do not fit its content")
    for (start, length), check in zip(pieces, content.checks, strict=True):
        if crc32c(read_at(fd, length, start)) != check:
            raise Damaged(f"its content is not what it was, from byte {start} on")


def _pieces(runs: Iterable[Run]) -> Iterator[tuple[int, int]]:
    """Cut runs where a MiB of the file ends, into (start, length) pieces that have a checksum each, in bytes."""
    for first, behind in runs:
        start, end = first * ALIGNMENT, behind * ALIGNMENT
        while start < end:
            length = min(_PIECE - start % _PIECE, end - start)
            yield start, length
            start += length
