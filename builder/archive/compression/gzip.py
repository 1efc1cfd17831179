"""gzip (RFC 1952), of any number of members, inflated by ISA-L: twice as fast as zlib, off the interpreter lock."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from isal import igzip_lib

from builder.archive.compression.streams import CUT, Input, gather, inflate
from builder.errors import CorruptStream

NAME = "gzip"
MAGIC = b"\x1f\x8b"

DEFLATE = 8
FHCRC, FEXTRA, FNAME, FCOMMENT = 2, 4, 8, 16
RESERVED = 0xE0

# Of a file name or a comment, in bytes; nobody writes any that come near.
MAX_TEXT = 64 * 1024


def matches(head: bytes) -> bool:
    """Tell a gzip stream by its first bytes."""
    return head.startswith(MAGIC)


def decompress(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the content of all members; raises CorruptStream. Zeros may follow the last one, as tapes have them."""
    return gather(_members(Input(chunks)))


def _members(source: Input) -> Iterator[bytes]:
    magic = source.upto(2)
    if not magic:
        raise CorruptStream("the gzip stream is empty")
    while magic:
        if magic != MAGIC:
            raise CorruptStream("it is no gzip stream, or something else follows on its end")
        _skip_header(source)
        # The trailer, CRC-32 and length, is verified by ISA-L.
        member = igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_GZIP_NO_HDR_VER)
        yield from inflate(source, member, (igzip_lib.IsalError,))  # type: ignore[arg-type]
        magic = source.upto(2)
        if magic.startswith(b"\x00"):
            while magic:
                if magic.strip(b"\x00"):
                    raise CorruptStream("something else follows on the gzip stream's end")
                magic = source.some(MAX_TEXT)


def _skip_header(source: Input) -> None:
    """Pass over the rest of a member's header: isal 1.9.1 misreads one of
    several fields that does not arrive all at once."""
    fixed = source.exactly(8)
    method, flags = fixed[0], fixed[1]
    if method != DEFLATE or flags & RESERVED:
        raise CorruptStream("the gzip header is of an unknown kind")
    header = MAGIC + fixed
    if flags & FEXTRA:
        length = source.exactly(2)
        header += length + source.exactly(int.from_bytes(length, "little"))
    for flag in (FNAME, FCOMMENT):
        if flags & flag:
            header += _text(source)
    if flags & FHCRC and int.from_bytes(source.exactly(2), "little") != zlib.crc32(header) & 0xFFFF:
        raise CorruptStream("the gzip header's checksum is wrong")


def _text(source: Input) -> bytes:
    text = b""
    while len(text) <= MAX_TEXT:
        more = source.some(MAX_TEXT)
        if not more:
            raise CorruptStream(CUT)
        end = more.find(b"\x00") + 1
        if end:
            source.give_back(more[end:])
            return text + more[:end]
        text += more
    raise CorruptStream("a name in the gzip header has no end")
