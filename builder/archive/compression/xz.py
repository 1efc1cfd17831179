"""The .xz format, of any number of streams with padding between and after them."""

from __future__ import annotations

import lzma
from collections.abc import Iterable, Iterator

from builder.archive.compression.streams import Input, gather, inflate_all
from builder.errors import CorruptStream

NAME = "xz"
MAGIC = b"\xfd7zXZ\x00"

# In bytes: a dictionary of 128 MiB, twice what `xz -9` needs, and the rest of the decoder.
MEMORY_LIMIT = 136 * 1024 * 1024
PADDING = bytes(4)


def matches(head: bytes) -> bool:
    """Tell an xz stream by its first bytes."""
    return head.startswith(MAGIC)


def decompress(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the content of all streams; raises CorruptStream, also for a dictionary of more than 128 MiB."""
    return gather(_streams(Input(chunks)))


def _streams(source: Input) -> Iterator[bytes]:
    try:
        yield from inflate_all(source, NAME, _decompressor, (lzma.LZMAError,), _skip_padding)
    except CorruptStream as error:
        if "emory usage limit" not in error.reason:
            raise
        reason = f"the xz stream needs more memory than {MEMORY_LIMIT} bytes; use a smaller dictionary"
        raise CorruptStream(reason) from error


def _decompressor() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, MEMORY_LIMIT)


def _skip_padding(source: Input) -> None:
    while (first := source.some(1)) == b"\x00":
        # Padding comes in fours (.xz file format, section 2.2).
        if source.exactly(3) != PADDING[1:]:
            raise CorruptStream("something else follows on the xz stream's end")
    source.give_back(first)
