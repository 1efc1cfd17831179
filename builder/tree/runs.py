"""Which blocks of a file hold more than zeros, known without asking its file system: that may say so, or not."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator

# In bytes: content starts on such a boundary, so that holes stay holes, and file systems with reflinks share blocks.
ALIGNMENT = 4096

# (first, behind) of a run of blocks of ALIGNMENT bytes.
Run = tuple[int, int]

_ZEROS = bytes(ALIGNMENT)


class Runs:
    """Runs of blocks, in order, none of which touch: 16 bytes each, as who wants to can make any number of them."""

    def __init__(self, runs: Iterable[Run] = ()) -> None:
        self._firsts = array("Q")
        self._behinds = array("Q")
        for first, behind in runs:
            self.add(first, behind)

    def __len__(self) -> int:
        return len(self._firsts)

    def __iter__(self) -> Iterator[Run]:
        return zip(self._firsts, self._behinds, strict=True)

    def add(self, first: int, behind: int) -> None:
        """Add blocks that are behind all others."""
        if self._behinds and self._behinds[-1] == first:
            self._behinds[-1] = behind
        else:
            self._firsts.append(first)
            self._behinds.append(behind)

    def cover(self, first: int, behind: int) -> bool:
        """Tell whether blocks, one at least, are all within a run."""
        place = bisect_right(self._behinds, first)
        return place < len(self._firsts) and self._firsts[place] <= first < behind <= self._behinds[place]

    def between(self, first: int, behind: int) -> Iterator[Run]:
        """Yield what of the runs is between two blocks."""
        place = bisect_right(self._behinds, first)
        while first < behind and place < len(self._firsts) and self._firsts[place] < behind:
            yield max(self._firsts[place], first), min(self._behinds[place], behind)
            place += 1


def filled(data: memoryview) -> Iterator[Run]:
    """Yield the runs of blocks in `data`, whole blocks, that hold more than zeros."""
    blocks = len(data) // ALIGNMENT
    heads = bytes(data[::ALIGNMENT])
    first, block = 0, heads.find(0)
    while block >= 0:
        # The first byte of a block is zero now and then, and of all of them with nearly none of the others.
        if bytes(data[block * ALIGNMENT : (block + 1) * ALIGNMENT]) == _ZEROS:
            if first < block:
                yield first, block
            first = block + 1
        block = heads.find(0, block + 1)
    if first < blocks:
        yield first, blocks
