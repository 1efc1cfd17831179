"""The clusters of compressed erofs files, unpacked.

Kernel: fs/erofs/decompressor*.c. LZMA comes as MicroLZMA (xz, src/liblzma/common/microlzma_decoder.c).
"""

from __future__ import annotations

import lzma
import zlib

import zstandard

from builder.disk.erofs import lz4
from builder.disk.erofs.read_clusters import INTERLACED, SHIFTED
from builder.disk.erofs.read_superblock import Superblock
from builder.disk.reading import DiskMalformed

_LZ4, _LZMA, _DEFLATE, _ZSTD = range(4)
# What erofs-utils write at most, in bytes.
_MAX_WINDOW, _MAX_DICTIONARY = 8 << 20, 8 << 20
_PROPERTIES = 9 * 5 * 5


def unpacked(superblock: Superblock, where: str, data: bytes, algorithm: int, start: int, length: int) -> bytes:
    """Return the `length` bytes that are a file's from `start` on, and were packed as `data`; raises DiskMalformed."""
    if algorithm in (SHIFTED, INTERLACED):
        if length > len(data):
            raise DiskMalformed(where, "a cluster of it holds less than it should")
        if algorithm == SHIFTED:
            return data[:length]
        # As if the file's blocks were there, of which the cluster has the end of one and the beginning of the next.
        inside = start % superblock.block_size
        return (data[inside : superblock.block_size] + data[:inside])[:length]
    if superblock.is_padded or algorithm != _LZ4:
        data = data.lstrip(b"\0")
    try:
        found = _decompressed(algorithm, data, length, superblock.lzma_dictionary)
    except (lz4.Corrupt, lzma.LZMAError, zlib.error, zstandard.ZstdError, IndexError, EOFError) as error:
        raise DiskMalformed(where, "a cluster of it cannot be unpacked") from error
    if len(found) != length:
        raise DiskMalformed(where, "a cluster of it holds less than it should")
    return found


def _decompressed(algorithm: int, data: bytes, length: int, dictionary: int) -> bytes:
    if algorithm == _LZ4:
        return lz4.decompress(data, length)
    if algorithm == _LZMA:
        return _from_lzma(data, length, dictionary)
    if algorithm == _DEFLATE:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, length)
    if algorithm == _ZSTD:
        with zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW).stream_reader(data) as reader:
            return reader.read(length)
    raise IndexError


def _from_lzma(data: bytes, length: int, dictionary: int) -> bytes:
    # The first byte of LZMA is always 0; here it is the properties, inverted.
    properties = data[0] ^ 0xFF
    if properties >= _PROPERTIES or dictionary > _MAX_DICTIONARY:
        raise IndexError
    rest, context = divmod(properties, 9)
    position, literal = divmod(rest, 5)
    filters = [
        {
            "id": lzma.FILTER_LZMA1,
            "dict_size": max(dictionary, 4096),
            "lc": context,
            "lp": literal,
            "pb": position,
        }
    ]
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters).decompress(b"\0" + data[1:], length)
