"""A tar rebuilt, byte for byte, from its tar-split and the files that it was unpacked into.

A tar-split (github.com/vbatts/tar-split) is gzipped JSON, a line for each piece of the tar: its bytes
(headers, padding), or the name and the size of a file whose content comes next.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import Annotated, BinaryIO

import msgspec

from builder.archive.compression.gzip import decompress
from builder.containers_storage.composefs import ByDigest
from builder.containers_storage.handles import reading
from builder.containers_storage.unpacked import Unpacked
from builder.errors import CorruptStream, MalformedArchive, UnsupportedImage
from builder.words import quoted

READ_SIZE = 1 << 20
# In bytes. A line holds headers and padding, a few KiB; the JSON of ten million entries has some 16 GiB.
_MAX_LINE = 32 << 20
_MAX_JSON = 64 << 30
_MAX_SIZE = (1 << 63) - 1

_FILE, _SEGMENT = 1, 2
# The checksum of no bytes (CRC-64, as ISO 3309 has it).
_OF_NOTHING = bytes(8)
# GNU tar's pax records of a sparse file; the tar-split has only the size that it unpacks to.
_SPARSE = re.compile(rb"[0-9] GNU\.sparse\.(?:major|size|map|numblocks)=")

_Size = Annotated[int, msgspec.Meta(ge=0, le=_MAX_SIZE)]


class Piece(msgspec.Struct, frozen=True):
    """A stretch of the tar: the bytes in `payload`, or the content of a file of `size` bytes (tar/storage/entry.go).

    A name that is no UTF-8 is in `name_raw`. For a file the payload is a checksum, which says whether there is any
    content; whether it is the right one, the hash of the whole tar says.
    """

    type: int
    name: str = ""
    name_raw: bytes = b""
    size: _Size = 0
    payload: bytes | None = None

    @property
    def path(self) -> bytes:
        """The file's name."""
        return self.name_raw or self.name.encode()

    @property
    def content_size(self) -> int:
        """How many bytes of a file the tar has: headers of directories and links may state a size, and have none."""
        return 0 if self.payload == _OF_NOTHING else self.size


def read_pieces(file: BinaryIO, where: str) -> Iterator[Piece]:
    """Read a tar-split, which `where` names; the caller closes it. Raises MalformedArchive for a damaged one."""
    decoder = msgspec.json.Decoder(Piece)
    with reading(where):
        try:
            for line in _lines(decompress(iter(lambda: file.read(READ_SIZE), b"")), where):
                piece = decoder.decode(line)
                if piece.type not in (_FILE, _SEGMENT):
                    raise _damaged(where, f"it has a piece of type {piece.type}")
                yield piece
        except (CorruptStream, msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise _damaged(where, str(error)) from error


def tar_size(pieces: Iterable[Piece], where: str) -> int:
    """Add up how many bytes the tar has; raises MalformedArchive for more than a tar can have."""
    total = sum(piece.content_size if piece.type == _FILE else len(piece.payload or b"") for piece in pieces)
    if total > _MAX_SIZE:
        raise _damaged(where, f"its files have {total} bytes")
    return total


def rebuild(pieces: Iterable[Piece], files: Unpacked | ByDigest) -> Iterator[bytes]:
    """Yield the tar, in small pieces.

    Raises MalformedArchive and UnsafeFile for a file that is not there, is no file or of another size, and
    UnsupportedImage for a sparse one.
    """
    headers = b""
    for piece in pieces:
        if piece.type == _SEGMENT:
            headers = piece.payload or b""
            yield headers
        elif piece.content_size:
            # Hardlinks, directories and the like are files of no content.
            if _SPARSE.search(headers):
                reason = "was sparse in the layer's tar, and the store does not keep where its holes were"
                raise UnsupportedImage(_where(piece, files), f"{reason}; build from where the image was pulled from")
            yield from _content(piece, files)


def _content(piece: Piece, files: Unpacked | ByDigest) -> Iterator[bytes]:
    """Read a file of exactly the size that the piece says."""
    fd = files.open(piece.path)
    try:
        where = _where(piece, files)
        with reading(where):
            found = os.fstat(fd).st_size
            left = piece.size
            while found == piece.size and left and (chunk := os.read(fd, min(left, READ_SIZE))):
                left -= len(chunk)
                yield chunk
            if left:
                reason = f"the file has {os.fstat(fd).st_size} bytes, the layer's tar {piece.size}"
                raise MalformedArchive(where, f"{reason}; it was changed, pull or build the image again")
    finally:
        os.close(fd)


def _where(piece: Piece, files: Unpacked | ByDigest) -> str:
    return f"{files.root.where}, entry {quoted(piece.path)}"


def _lines(chunks: Iterator[bytes], where: str) -> Iterator[bytes]:
    rest, total = b"", 0
    for chunk in chunks:
        total += len(chunk)
        *lines, rest = (rest + chunk).split(b"\n")
        yield from filter(None, lines)
        if len(rest) > _MAX_LINE or total > _MAX_JSON:
            raise _damaged(where, "it is longer than that of any layer")
    if rest:
        yield rest


def _damaged(where: str, reason: str) -> MalformedArchive:
    return MalformedArchive(where, f"is no intact tar-split: {reason}; pull or build the image again")
