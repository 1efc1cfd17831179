"""What the compressions share: input by the byte, and output in chunks of a fair size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from builder.errors import CorruptStream

# In bytes. Whatever a little input inflates to comes out in pieces of at most PIECE. Memory for larger ones is fresh
# each time: making its pages took a tenth of the inflating.
PIECE = 512 * 1024
# Smaller pieces are joined into chunks of this size. Joining larger ones, too, took a fifth of the inflating.
_FAIR = 64 * 1024
# A decompressor that meets the end of its stream hands back a copy of the rest of what it was given. Streams may be
# tiny (eStargz has one for each file), so each starts with little input.
FIRST_INPUT = 16 * 1024
MOST_INPUT = 1024 * 1024

CUT = "the compressed stream is cut off"


class Decompressor(Protocol):
    """What bz2, lzma and isal have in common: a decompressor of one stream."""

    @property
    def eof(self) -> bool: ...  # noqa: D102

    @property
    def needs_input(self) -> bool: ...  # noqa: D102

    @property
    def unused_data(self) -> bytes: ...  # noqa: D102

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...  # noqa: D102


class Input:
    """Chunks of bytes, to be taken by number; nothing is read before it is asked for."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._chunk = b""
        self._position = 0

    def some(self, limit: int) -> bytes:
        """Take at least one and at most `limit` bytes; none at the end."""
        while self._position == len(self._chunk):
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._chunk, self._position = chunk, 0
        taken = self._chunk[self._position : self._position + limit]
        self._position += len(taken)
        return taken

    def give_back(self, data: bytes) -> None:
        """Put back the end of what `some` returned last."""
        self._position -= len(data)

    def upto(self, count: int) -> bytes:
        """Take `count` bytes, or fewer at the end."""
        taken = self.some(count)
        while len(taken) < count and (more := self.some(count - len(taken))):
            taken += more
        return taken

    def exactly(self, count: int) -> bytes:
        """Take `count` bytes; raises CorruptStream if there are fewer."""
        taken = self.upto(count)
        if len(taken) < count:
            raise CorruptStream(CUT)
        return taken

    def skip(self, count: int) -> None:
        """Pass over `count` bytes; raises CorruptStream if there are fewer."""
        while count:
            taken = self.some(count)
            if not taken:
                raise CorruptStream(CUT)
            count -= len(taken)


def inflate(source: Input, decompressor: Decompressor, errors: tuple[type[Exception], ...]) -> Iterator[bytes]:
    """Yield the content of one stream; `errors` are what the decompressor raises, and come out as CorruptStream."""
    step = FIRST_INPUT
    while not decompressor.eof:
        data = b""
        if decompressor.needs_input:
            data = source.some(step)
            step = min(2 * step, MOST_INPUT)
            if not data:
                raise CorruptStream(CUT)
        try:
            piece = decompressor.decompress(data, PIECE)
        except errors as error:
            raise CorruptStream(f"the compressed stream is corrupt: {error}") from error
        if piece:
            yield piece
    source.give_back(decompressor.unused_data)


def inflate_all(
    source: Input,
    name: str,
    decompressor: Callable[[], Decompressor],
    errors: tuple[type[Exception], ...],
    skip_padding: Callable[[Input], None] = lambda source: None,
) -> Iterator[bytes]:
    """Yield the content of one or more streams, each inflated by a new `decompressor()`; raises CorruptStream for none.

    `skip_padding` takes what may stand behind a stream; `name` is what errors call the compression.
    """
    start = source.some(1)
    if not start:
        raise CorruptStream(f"the {name} stream is empty")
    while start:
        source.give_back(start)
        yield from inflate(source, decompressor(), errors)
        skip_padding(source)
        start = source.some(1)


def gather(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Join small pieces, which streams of many members consist of; what is of a fair size is not copied."""
    small: list[bytes] = []
    size = 0
    for piece in pieces:
        is_small = len(piece) < _FAIR
        if is_small:
            small.append(piece)
            size += len(piece)
        if small and (size >= _FAIR or not is_small):
            yield b"".join(small)
            small, size = [], 0
        if not is_small:
            yield piece
    if small:
        yield b"".join(small)
