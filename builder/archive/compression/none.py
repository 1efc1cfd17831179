"""No compression: a plain tar."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from builder.archive.block import BLOCK, ZEROS, check_checksum
from builder.archive.compression.streams import MOST_INPUT, gather
from builder.errors import MalformedTar

NAME = "none"


def matches(head: bytes) -> bool:
    """Tell a tar by its first block: a magic number, an end-of-archive marker, or (before ustar) a right checksum."""
    block = head[:BLOCK]
    if block[257:262] == b"ustar" or block == ZEROS:
        return True
    if len(block) < BLOCK:
        return False
    try:
        check_checksum(block)
    except MalformedTar:
        return False
    return True


def decompress(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the stream as it is, in chunks of at most 1 MiB and of a fair size: it may come by the byte."""
    return gather(_cut(chunks))


def _cut(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        if len(chunk) <= MOST_INPUT:
            yield chunk
            continue
        for start in range(0, len(chunk), MOST_INPUT):
            yield chunk[start : start + MOST_INPUT]
