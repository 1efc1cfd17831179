"""The guard in front of libarchive: a tar stream passes through it, its headers checked and noted on the way.

libarchive is lenient, and where it is, other readers see other things in the same bytes. The guard accepts only what
can be read in one way, and notes what it saw of each member so that TarReader can hold libarchive to it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress

from builder.archive.header import Header
from builder.archive.walk import walk


class Guard:
    """An iterator over `chunks` of a plain tar, unchanged, which raises MalformedTar in place of a bad chunk.

    `headers` has the members whose headers have passed and that nobody has taken out yet; `ended` says whether the
    end of the archive has passed. What follows that end passes unseen.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.headers: deque[Header] = deque()
        self.ended = False
        self._chunks = iter(chunks)

    def __iter__(self) -> Iterator[bytes]:
        steps = walk(self.headers.append)
        skip, want = next(steps)
        partial = b""
        for chunk in self._chunks:
            position, length = 0, len(chunk)
            while position < length and not self.ended:
                if skip:
                    step = min(skip, length - position)
                    skip -= step
                    position += step
                    continue
                unit = chunk[position : position + want - len(partial)]
                position += len(unit)
                if partial:
                    unit = partial + unit
                if len(unit) < want:
                    partial = unit
                    break
                partial = b""
                try:
                    skip, want = steps.send(unit)
                except StopIteration:
                    self.ended = True
            if chunk:
                yield chunk
        if not self.ended:
            with suppress(StopIteration):
                steps.send(None if skip else partial)
            self.ended = True
