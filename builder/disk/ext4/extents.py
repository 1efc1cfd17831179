"""Which blocks a file has, as a tree of extents (kernel documentation, filesystems/ext4/ifork, "Extent Tree")."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from uuid import UUID

from msgspec import Struct

from builder.disk.ext4.layout import BLOCK_SIZE, checksum

_MAGIC = 0xF30A
# Magic, entries, room for entries, depth, generation.
_HEADER = struct.Struct("<HHHHI")
# In a leaf: logical block, length, physical block (high, low); above: logical block, block (low, high), unused.
_LEAF = struct.Struct("<IHHI")
_INDEX = struct.Struct("<IIHH")
# A root with one leaf.
_SINGLE = struct.Struct("<HHHHI IHHI 36x")

_IN_INODE = 4
_PER_BLOCK = (BLOCK_SIZE - _HEADER.size) // _LEAF.size
_TAIL_OFFSET = _HEADER.size + _PER_BLOCK * _LEAF.size
_ROOT_SIZE = 60


class Extent(Struct, frozen=True, gc=False):
    """`length` blocks of a file from `logical` on, which are from `physical` on in the file system.

    A run of blocks lies within one group, and so is never longer than an extent may be.
    """

    logical: int
    physical: int
    length: int


def tree_blocks(extents: int) -> int:
    """Return how many blocks a tree of so many extents takes besides its root, which is in the inode."""
    blocks = 0
    while extents > _IN_INODE:
        extents = -(-extents // _PER_BLOCK)
        blocks += extents
    return blocks


def encode_extent(physical: int, length: int) -> bytes:
    """Return the root of the tree of a file that has all its blocks in one extent."""
    return _SINGLE.pack(_MAGIC, 1, _IN_INODE, 0, 0, 0, length, physical >> 32, physical & 0xFFFFFFFF)


def encode_tree(
    extents: Iterable[Extent], blocks: Iterator[int], number: int, uuid: UUID
) -> tuple[bytes, dict[int, bytes]]:
    """Return the root of the tree for inode `number`, and the content of each of its other `blocks`."""
    entries = [
        _LEAF.pack(each.logical, each.length, each.physical >> 32, each.physical & 0xFFFFFFFF) for each in extents
    ]
    depth = 0
    content: dict[int, bytes] = {}
    while len(entries) > _IN_INODE:
        above = []
        for start in range(0, len(entries), _PER_BLOCK):
            block = next(blocks)
            node = _node(entries[start : start + _PER_BLOCK], _PER_BLOCK, depth).ljust(_TAIL_OFFSET, b"\0")
            # The zero is the inode's generation.
            seal = checksum((uuid.bytes, struct.pack("<II", number, 0), node))
            content[block] = node + struct.pack("<I", seal)
            # Either kind of entry begins with the first logical block.
            (logical,) = struct.unpack_from("<I", entries[start])
            above.append(_INDEX.pack(logical, block & 0xFFFFFFFF, block >> 32, 0))
        entries = above
        depth += 1
    return _node(entries, _IN_INODE, depth).ljust(_ROOT_SIZE, b"\0"), content


def decode_root(root: bytes) -> list[Extent]:
    """Return the extents of a tree that has no other blocks."""
    _, count, _, _, _ = _HEADER.unpack_from(root)
    leaves = _LEAF.iter_unpack(root[_HEADER.size : _HEADER.size + count * _LEAF.size])
    return [Extent(logical, high << 32 | low, length) for logical, length, high, low in leaves]


def _node(entries: list[bytes], room: int, depth: int) -> bytes:
    return _HEADER.pack(_MAGIC, len(entries), room, depth, 0) + b"".join(entries)
