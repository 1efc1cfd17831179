"""bzip2, of any number of streams."""

from __future__ import annotations

import bz2
from collections.abc import Iterable, Iterator

from builder.archive.compression.streams import Input, gather, inflate
from builder.errors import CorruptStream

NAME = "bzip2"
MAGIC = b"BZh"


def matches(head: bytes) -> bool:
    """Tell a bzip2 stream by its first bytes."""
    return head.startswith(MAGIC)


def decompress(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the content of all streams; raises CorruptStream."""
    return gather(_streams(Input(chunks)))


def _streams(source: Input) -> Iterator[bytes]:
    start = source.some(1)
    if not start:
        raise CorruptStream("the bzip2 stream is empty")
    while start:
        source.give_back(start)
        yield from inflate(source, bz2.BZ2Decompressor(), (OSError, ValueError))
        start = source.some(1)
