"""The guard in front of libarchive: a tar stream passes through it, its headers checked and noted on the way.

libarchive is lenient, and where it is, other readers see other things in the same bytes. The guard accepts only what
can be read in one way, and notes what it saw of each member so that TarReader can hold libarchive to it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from builder.archive.header import Header
from builder.archive.headers import walk


class Guard:
    """An iterator over `chunks` of a plain tar, which raises MalformedTar in place of a bad chunk.

    `headers` has the members whose headers have passed and that nobody has taken out yet; `ended` says whether the
    end of the archive has passed. What follows that end passes unseen. The bytes pass unchanged, but for headers that
    libarchive would misread (headers.py), and padding that is missing at the end.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.headers: deque[Header] = deque()
        self.ended = False
        self._chunks = iter(chunks)
        self._instead = b""

    def __iter__(self) -> Iterator[bytes]:
        steps = walk(self.headers.append, self._replace)
        skip, want = next(steps)
        # A unit that straddles chunks is held back until it is whole.
        held = bytearray()
        for chunk in self._chunks:
            start = position = 0
            while not self.ended:
                begin = position + skip
                if begin >= len(chunk):
                    skip = begin - len(chunk)
                    break
                skip = 0
                unit = chunk[begin : begin + want - len(held)]
                position = begin + len(unit)
                if held or len(unit) < want:
                    held += unit
                    yield from _unless_empty(chunk[start:begin])
                    start = position
                    if len(held) < want:
                        break
                    unit = bytes(held)
                try:
                    skip, want = steps.send(unit)
                except StopIteration:
                    self.ended = True
                if held or self._instead:
                    yield from _unless_empty(chunk[start:begin])
                    yield unit[: len(unit) - len(self._instead)] + self._instead
                    start = position
                    held.clear()
                    self._instead = b""
            if start < len(chunk):
                yield chunk[start:] if start else chunk
        if not self.ended:
            try:
                steps.send(None if skip else bytes(held))
            except StopIteration as end:
                yield from _unless_empty(bytes(held) + bytes(end.value))
            self.ended = True

    def _replace(self, unit: bytes) -> None:
        self._instead = unit


def _unless_empty(chunk: bytes) -> Iterator[bytes]:
    # To libarchive, no bytes are the end.
    if chunk:
        yield chunk
