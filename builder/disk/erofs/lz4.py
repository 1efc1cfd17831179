"""LZ4 blocks: liblz4 reads them, which mkfs.erofs and libarchive need anyway; without it, we read them ourselves.

Format: lz4/doc/lz4_Block_format.md.
"""

from __future__ import annotations

import ctypes
from functools import cache

_LIBRARY = "liblz4.so.1"


class Corrupt(ValueError):
    """A block is none of LZ4, or is cut off."""


@cache
def _library() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError:
        return None
    library.LZ4_decompress_safe_partial.argtypes = (
        *(ctypes.c_char_p, ctypes.c_char_p),
        *(ctypes.c_int, ctypes.c_int, ctypes.c_int),
    )
    return library


def decompress(data: bytes, length: int) -> bytes:
    """Return the first `length` bytes of what was packed as `data`; raises Corrupt."""
    library = _library()
    if library is None:
        return decompress_slowly(data, length)
    room = ctypes.create_string_buffer(length)
    if library.LZ4_decompress_safe_partial(data, room, len(data), length, length) != length:
        raise Corrupt
    return room.raw


def decompress_slowly(data: bytes, length: int) -> bytes:
    """Do the same without the library."""
    found, position = bytearray(), 0
    try:
        while True:
            token = data[position]
            literals, position = _length(data, position + 1, token >> 4)
            if position + literals > len(data):
                raise Corrupt
            found += data[position : position + literals]
            position += literals
            if len(found) >= length:
                return bytes(found[:length])
            distance = data[position] | data[position + 1] << 8
            matched, position = _length(data, position + 2, token & 0xF)
            start = len(found) - distance
            if not distance or start < 0:
                raise Corrupt
            matched = min(matched + 4, length - len(found))
            # What is copied may begin to be copied again before it ends.
            repeated = found[start : start + matched]
            found += (repeated * (matched // len(repeated) + 1))[:matched]
    except IndexError:
        raise Corrupt from None


def _length(data: bytes, position: int, length: int) -> tuple[int, int]:
    """Read the rest of a length of which four bits were in the token; return it and where it ends."""
    if length < 15:
        return length, position
    while data[position] == 255:
        length, position = length + 255, position + 1
    return length + data[position], position + 1
