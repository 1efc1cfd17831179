"""Files with holes: read without what is not there, written without zeros."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from builder.exact import CHUNK, read_at, write_at

# What file systems keep or leave out, in bytes.
_BLOCK = 4096
_ZEROS = bytes(CHUNK)


def written_pieces(fd: int, size: int, start: int = 0) -> Iterator[tuple[int, int]]:
    """List where a file of `size` bytes is no hole, from `start` on: places and lengths, each at most a CHUNK."""
    position = start
    while position < size:
        try:
            position = os.lseek(fd, position, os.SEEK_DATA)
            end = min(os.lseek(fd, position, os.SEEK_HOLE), size)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return  # the rest is a hole
            # Block devices do not tell.
            end = size
        while position < end:
            length = min(CHUNK, end - position)
            yield position, length
            position += length


def content(fd: int, size: int, start: int = 0) -> Iterator[bytes]:
    """Read a file of `size` bytes from `start` on, in chunks of at most CHUNK; of holes nothing is read.

    What is behind the end of the file is a hole. Raises OSError.
    """
    position = start
    for begin, length in written_pieces(fd, size, start):
        yield from _zeros(begin - position)
        yield read_at(fd, length, begin)
        position = begin + length
    yield from _zeros(size - position)


def write_sparse(fd: int, data: bytes, position: int) -> None:
    """Write `data` to a file that has nothing there yet, at `position`, leaving out whole blocks of zeros."""
    view, end = memoryview(data), len(data)
    begin = at = 0
    while at < end:
        following = min(end, at + _BLOCK - (position + at) % _BLOCK)
        if view[at:following] == _ZEROS[: following - at]:
            write_at(fd, view[begin:at], position + begin)
            begin = following
        at = following
    write_at(fd, view[begin:], position + begin)


def _zeros(length: int) -> Iterator[bytes]:
    while length > 0:
        yield _ZEROS if length >= CHUNK else _ZEROS[:length]
        length -= CHUNK
