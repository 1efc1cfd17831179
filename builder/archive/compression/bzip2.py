"""bzip2, of any number of streams."""

from __future__ import annotations

import bz2
from collections.abc import Iterable, Iterator

from builder.archive.compression.streams import Input, gather, inflate_all

NAME = "bzip2"
MAGIC = b"BZh"


def matches(head: bytes) -> bool:
    """Tell a bzip2 stream by its first bytes."""
    return head.startswith(MAGIC)


def decompress(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the content of all streams; raises CorruptStream."""
    return gather(inflate_all(Input(chunks), NAME, bz2.BZ2Decompressor, (OSError, ValueError)))
