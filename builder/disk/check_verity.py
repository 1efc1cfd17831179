"""The hash tree behind a disk, held against the disk and against its root hash.

Format: cryptsetup's wiki, DMVerity (superblock, tree); of the tree, admin-guide/device-mapper/verity of the kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from struct import Struct

from builder.disk.reading import CHUNK, Volume
from builder.disk.verity import Verity

# Signature, version, type of hashes; UUID; algorithm; sizes of blocks; blocks of data; size of the salt; the salt.
_SUPERBLOCK = Struct("<8sII16s32sIIQH6x256s168x")
_SIGNATURE = b"verity\0\0"
_BLOCK, _HASH = 4096, 32
_PER_BLOCK = _BLOCK // _HASH
_WHERE = "the hash tree"

# So many blocks are named.
_MOST = 10


@dataclass(frozen=True, slots=True)
class _Level:
    """So many blocks at a position in bytes: the data, or the hashes of the level below."""

    position: int
    blocks: int


def hash_faults(volume: Volume, verity: Verity) -> Iterator[str]:
    """Say of a disk what Linux would find wrong by its hash tree: the first few blocks, and the root.

    Raises DiskMalformed for a disk that ends before its tree.
    """
    salt = bytes.fromhex(verity.salt)
    if not _is_superblock(volume.read(verity.hash_offset, _SUPERBLOCK.size, _WHERE), verity, salt):
        yield "its superblock is not as the metadata say"
    levels, bad = _levels(verity), 0
    for below, above in pairwise(levels):
        for number in _strangers(volume, below, above, salt):
            bad += 1
            if bad <= _MOST:
                yield f"block {below.position // _BLOCK + number} has not the hash that the tree has of it"
    if bad > _MOST:
        yield f"and so have not {bad - _MOST} blocks more"
    (root,) = _hashes(volume, levels[-1], salt)
    if root.hex() != verity.root_hash:
        yield f"its root hash is {root.hex()}, expected {verity.root_hash}"


def _is_superblock(data: bytes, verity: Verity, salt: bytes) -> bool:
    signature, version, kind, _, algorithm, *sizes, stored = _SUPERBLOCK.unpack(data)
    stated = signature, version, kind, algorithm.rstrip(b"\0"), sizes, stored.rstrip(b"\0")
    return stated == (_SIGNATURE, 1, 1, b"sha256", [_BLOCK, _BLOCK, verity.data_blocks, len(salt)], salt.rstrip(b"\0"))


def _levels(verity: Verity) -> list[_Level]:
    """Give the levels from the data up to a single block; on the disk, the tree begins with its top."""
    counts = [verity.data_blocks]
    while counts[-1] > 1:
        counts.append(-(-counts[-1] // _PER_BLOCK))
    levels, position = [], verity.hash_offset + _BLOCK
    for count in reversed(counts[1:]):
        levels.append(_Level(position, count))
        position += count * _BLOCK
    return [_Level(0, verity.data_blocks), *reversed(levels)]


def _strangers(volume: Volume, below: _Level, above: _Level, salt: bytes) -> Iterator[int]:
    """Yield the number in its level of each block whose hash the level above has not."""
    stored = _blocks(volume, above)
    known = b""
    for number, hashed in enumerate(_hashes(volume, below, salt)):
        at = number % _PER_BLOCK * _HASH
        if at == 0:
            known = next(stored)
        if known[at : at + _HASH] != hashed:
            yield number


def _hashes(volume: Volume, level: _Level, salt: bytes) -> Iterator[bytes]:
    salted = sha256(salt)
    for block in _blocks(volume, level):
        hashing = salted.copy()
        hashing.update(block)
        yield hashing.digest()


def _blocks(volume: Volume, level: _Level) -> Iterator[bytes]:
    size = level.blocks * _BLOCK
    for done in range(0, size, CHUNK):
        data = volume.read(level.position + done, min(CHUNK, size - done), _WHERE)
        for at in range(0, len(data), _BLOCK):
            yield data[at : at + _BLOCK]
