"""Which attributes an erofs inode says that it has not: Linux then does not look for them, though it lists them.

Kernel: fs/erofs/erofs_fs.h, xattr.c (erofs_getxattr), lib/xxhash.c (xxh32).
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import iter_unpack, unpack_from

_SEED = 0x25BBE08F
_1, _2, _3, _4, _5 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1
_STRIPE = 16


def is_hidden(name_filter: int, name: bytes, prefixes: Mapping[int, bytes]) -> bool:
    """Tell whether a filter of 32 bits says that there is no attribute of a name; `prefixes` are the known ones."""
    for index, prefix in prefixes.items():
        if name.startswith(prefix):
            return bool(name_filter >> xxh32(name.removeprefix(prefix), _SEED + index) % 32 & 1)
    return False


def xxh32(data: bytes, seed: int) -> int:
    """Return the hash of 32 bits that xxHash makes of `data`."""
    whole = len(data) // _STRIPE * _STRIPE
    sums = [seed + _1 + _2, seed + _2, seed, seed - _1]
    for lanes in iter_unpack("<4I", data[:whole]):
        sums = [_rotated(total + lane * _2, 13) * _1 for total, lane in zip(sums, lanes, strict=True)]
    found = sum(map(_rotated, sums, (1, 7, 12, 18))) if whole else seed + _5
    found += len(data)
    words = len(data) // 4 * 4
    for at in range(whole, words, 4):
        found = _rotated(found + unpack_from("<I", data, at)[0] * _3, 17) * _4
    for byte in data[words:]:
        found = _rotated(found + byte * _5, 11) * _1
    found &= 0xFFFFFFFF
    found = (found ^ found >> 15) * _2 & 0xFFFFFFFF
    found = (found ^ found >> 13) * _3 & 0xFFFFFFFF
    return found ^ found >> 16


def _rotated(number: int, bits: int) -> int:
    number &= 0xFFFFFFFF
    return (number << bits | number >> 32 - bits) & 0xFFFFFFFF
