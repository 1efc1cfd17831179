from __future__ import annotations

import struct
from uuid import UUID

import pytest

from builder.disk.ext4.extents import Extent, decode_root, encode_tree, tree_blocks
from builder.disk.ext4.layout import checksum

UUID_1 = UUID(int=1)


def extents(count: int) -> list[Extent]:
    # Physical blocks of more than 32 bits.
    return [Extent(number * 3, (5 << 32) + number * 2, 1) for number in range(count)]


def leaves(node: bytes, blocks: dict[int, bytes]) -> list[Extent]:
    """Walk a tree as a kernel does."""
    magic, count, room, depth, _ = struct.unpack_from("<HHHHI", node)
    assert magic == 0xF30A
    assert 0 <= count <= room == (len(node) - 12) // 12
    if depth == 0:
        return decode_root(node)
    found = []
    for index in range(count):
        logical, low, high, _ = struct.unpack_from("<IIHH", node, 12 + index * 12)
        below = blocks[high << 32 | low]
        assert struct.unpack_from("<H", below, 6) == (depth - 1,)
        inner = leaves(below[:-4], blocks)
        assert inner[0].logical == logical
        found += inner
    return found


@pytest.mark.parametrize("count", [0, 1, 4, 5, 340, 341, 1360, 1361, 3000])
def test_a_tree_leads_to_every_extent_in_the_blocks_it_was_given(count: int) -> None:
    given = [(7 << 32) + number for number in range(tree_blocks(count))]
    root, blocks = encode_tree(extents(count), iter(given), 12, UUID_1)
    assert len(root) == 60
    assert list(blocks) == given
    assert leaves(root, blocks) == extents(count)


def test_a_tree_has_no_more_blocks_than_it_needs() -> None:
    assert [tree_blocks(count) for count in (0, 4, 5, 340, 341, 1360, 1361, 2000)] == [0, 0, 1, 1, 2, 4, 6, 7]


def test_the_tail_of_each_block_seals_it_for_this_inode_of_this_file_system() -> None:
    _, blocks = encode_tree(extents(5), iter([99]), 12, UUID_1)
    block = blocks[99]
    sealed = checksum((UUID_1.bytes, struct.pack("<II", 12, 0), block[:4092]))
    assert block[4092:] == struct.pack("<I", sealed)
