"""Zstandard (RFC 8878): frames, with or without their content's size, and skippable frames anywhere.

The frames are walked here, block by block, for three reasons: a block inflates to at most 128 KiB, so that output is
bounded whatever the input; a frame that is cut off is noticed, which the library's readers do not tell; and a window
that is too large is refused by name. zstd:chunked has a frame for each file and skippable ones at its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import zstandard

from builder.archive.compression.streams import CUT, Input, gather
from builder.errors import CorruptStream

NAME = "zstd"
MAGIC = b"\x28\xb5\x2f\xfd"
SKIPPABLE = tuple(bytes((low, 0x2A, 0x4D, 0x18)) for low in range(0x50, 0x60))

# In bytes: what the zstd tool decompresses without being told that it may use more (--long=27).
MAX_WINDOW = 2**27

RLE, RESERVED = 1, 3


def matches(head: bytes) -> bool:
    """Tell a Zstandard stream by its first bytes."""
    return head.startswith((MAGIC, *SKIPPABLE))


def decompress(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the content of all frames; raises CorruptStream, also for a window of more than 128 MiB."""
    return gather(_frames(Input(chunks)))


def _frames(source: Input) -> Iterator[bytes]:
    decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
    magic = source.upto(4)
    if not magic:
        raise CorruptStream("the zstd stream is empty")
    while magic:
        if magic == MAGIC:
            yield from _frame(source, decompressor)
        elif magic in SKIPPABLE:
            source.skip(int.from_bytes(source.exactly(4), "little"))
        elif len(magic) < 4:
            raise CorruptStream(CUT)
        else:
            raise CorruptStream("it is no zstd stream, or something else follows on its end")
        magic = source.upto(4)


def _frame(source: Input, decompressor: zstandard.ZstdDecompressor) -> Iterator[bytes]:
    header, has_checksum = _frame_header(source)
    frame = decompressor.decompressobj()
    data = MAGIC + header
    last = False
    while not last:
        head = source.exactly(3)
        fields = int.from_bytes(head, "little")
        last, kind, size = bool(fields & 1), fields >> 1 & 3, fields >> 3
        if kind == RESERVED:
            raise CorruptStream("the zstd stream is corrupt: a block of an unknown kind")
        data += head + source.exactly(1 if kind == RLE else size)
        if last and has_checksum:
            data += source.exactly(4)
        try:
            piece = frame.decompress(data)
        except zstandard.ZstdError as error:
            raise CorruptStream(f"the zstd stream is corrupt: {error}") from error
        if piece:
            yield piece
        data = b""
    if not frame.eof:
        raise CorruptStream("the zstd stream is corrupt: a frame goes on after its last block")


def _frame_header(source: Input) -> tuple[bytes, bool]:
    """Take a frame's header behind the magic number; return it, and whether a checksum ends the frame."""
    descriptor = source.exactly(1)
    flags = descriptor[0]
    single_segment = bool(flags & 0x20)
    window = b"" if single_segment else source.exactly(1)
    dictionary = source.exactly((0, 1, 2, 4)[flags & 3])
    content_size = source.exactly((1 if single_segment else 0, 2, 4, 8)[flags >> 6])
    if any(dictionary):
        raise CorruptStream("the zstd stream needs a dictionary, which layers do not have")
    if single_segment:
        needed = int.from_bytes(content_size, "little")
    else:
        base = 1 << (10 + (window[0] >> 3))
        needed = base + base // 8 * (window[0] & 7)
    if needed > MAX_WINDOW:
        raise CorruptStream(
            f"the zstd stream needs a window of {needed} bytes, more than {MAX_WINDOW}; compress with --long=27"
        )
    return descriptor + window + dictionary + content_size, bool(flags & 4)
