"""A new file system gets its files: blocks and inodes for them, and all that is to be written but their content."""

from __future__ import annotations

from array import array
from collections import Counter
from itertools import groupby
from uuid import UUID

from builder.disk.ext4.content import Stored, size_of, written
from builder.disk.ext4.extents import Extent, decode_root, encode_extent, encode_tree, tree_blocks
from builder.disk.ext4.groups import Groups
from builder.disk.ext4.inode import NOTHING, Storage, encode_inode, read_block_map
from builder.disk.ext4.layout import BLOCK_SIZE, INODE_SIZE, checksum_seed
from builder.disk.ext4.plan import FIRST_INODE, ROOT_INODE, Plan, place_of
from builder.disk.ext4.xattr import encode_xattrs, seal_block
from builder.disk.shift import Move, add
from builder.exact import read_at, write_at
from builder.tree.nodes import Directory, File, Node

# mke2fs makes lost+found, always, as the first inode.
_LOST_FOUND_INODE = FIRST_INODE

# How many inodes are in memory at a time as they are written.
_TABLE = 4096


def fill(fd: int, planned: Plan, contents: list[Stored], uuid: UUID) -> list[Move]:
    """Write all inodes of the plan with their `contents` into the image `fd`, as mke2fs has made it.

    Returns what of the spool is to be where in the image, in order: the content of files.
    """
    groups = Groups(fd, uuid)
    _empty(fd, groups)
    moves: list[Move] = []
    stores = _Stores(fd, planned, groups, uuid)
    for stored in contents:
        stores.add(stored, moves)
    xattr_blocks = {id(None): 0}
    for block in planned.xattr_blocks:
        [(number, _)] = groups.take(1)
        _, content = encode_xattrs(b"", block.xattrs)
        write_at(fd, seal_block(content or b"", block.users, number, uuid), number * BLOCK_SIZE)
        xattr_blocks[id(block)] = number
    _write_inodes(fd, groups, planned, stores, xattr_blocks, uuid)
    directories = Counter(groups.holding(number) for number, node in planned.inodes() if isinstance(node, Directory))
    groups.save(planned.last_inode, directories)
    return moves


def _empty(fd: int, groups: Groups) -> None:
    """Take away what mke2fs has put in: lost+found, and the root directory that names it."""
    for number in (ROOT_INODE, _LOST_FOUND_INODE):
        offset = groups.inode_offset(number)
        for extent in decode_root(read_block_map(read_at(fd, INODE_SIZE, offset))):
            groups.release(extent.physical, extent.length)
        write_at(fd, bytes(INODE_SIZE), offset)


def _write_inodes(
    fd: int, groups: Groups, planned: Plan, stores: _Stores, xattr_blocks: dict[int, int], uuid: UUID
) -> None:
    def table_of(inode: tuple[int, Node]) -> tuple[int, int]:
        return groups.holding(inode[0]), inode[0] // _TABLE

    seed = checksum_seed(uuid)
    for _, group in groupby(planned.inodes(), key=table_of):
        members = list(group)
        first, last = members[0][0], members[-1][0]
        start = groups.inode_offset(first)
        # Between the root and the first of the others are the file system's own.
        table = bytearray(read_at(fd, (last - first + 1) * INODE_SIZE, start))
        for number, node in members:
            xattrs = planned.xattrs(number)
            held = (xattrs.body, xattr_blocks[id(xattrs.block)])
            encoded = encode_inode(number, node, planned.links(number), stores.storage(number), held, seed)
            offset = (number - first) * INODE_SIZE
            table[offset : offset + INODE_SIZE] = encoded
        write_at(fd, table, start)


class _Stores:
    """Finds room for contents, writes those that are not in the spool, and knows where each of them is.

    Nearly every content is in one piece: two numbers say where.
    """

    def __init__(self, fd: int, planned: Plan, groups: Groups, uuid: UUID) -> None:
        self._fd = fd
        self._planned = planned
        self._groups = groups
        self._uuid = uuid
        # By directory; parents come before what is in them.
        self._parents = {ROOT_INODE: ROOT_INODE}
        self._first = array("Q", [0]) * len(planned.nodes)
        self._count = array("I", [0]) * len(planned.nodes)
        self._in_pieces: dict[int, Storage] = {}
        self._indexed: set[int] = set()

    def add(self, stored: Stored, moves: list[Move]) -> None:
        """Find room for a content, and write it or note what of the spool is to be there."""
        node = self._planned.node(stored.number)
        source = node.content.offset if isinstance(node, File) else None
        content = b"" if isinstance(node, File) else self._written(stored)
        if stored.index is not None:
            self._indexed.add(stored.number)
        extents = []
        for logical, count in stored.mapped:
            for physical, length in self._groups.take(count):
                extents.append(Extent(logical, physical, length))
                start = logical * BLOCK_SIZE
                if source is None:
                    write_at(self._fd, content[start : start + length * BLOCK_SIZE], physical * BLOCK_SIZE)
                else:
                    add(moves, source + start, physical * BLOCK_SIZE, length * BLOCK_SIZE)
                logical += length
        if len(extents) == 1 and extents[0].logical == 0:
            place = place_of(stored.number)
            self._first[place], self._count[place] = extents[0].physical, extents[0].length
        else:
            self._in_pieces[stored.number] = self._tree(stored, extents)

    def storage(self, number: int) -> Storage:
        """Say where an inode's content is."""
        place = place_of(number)
        count = self._count[place]
        if not count:
            return self._in_pieces.get(number, NOTHING)
        block_map = encode_extent(self._first[place], count)
        return Storage(size_of(self._planned.nodes[place], count), count, block_map, number in self._indexed)

    def _written(self, stored: Stored) -> bytes:
        number = stored.number
        node = self._planned.node(number)
        if isinstance(node, Directory):
            for child in node.children.values():
                if isinstance(child, Directory):
                    self._parents[self._planned.numbers[child]] = number
        return written(self._planned, stored, self._parents.get(number, 0), self._uuid)

    def _tree(self, stored: Stored, extents: list[Extent]) -> Storage:
        inner = tree_blocks(len(extents))
        numbers = (first + index for first, count in self._groups.take(inner) for index in range(count))
        block_map, nodes = encode_tree(extents, numbers, stored.number, self._uuid)
        for block, node in nodes.items():
            write_at(self._fd, node, block * BLOCK_SIZE)
        size = size_of(self._planned.node(stored.number), stored.blocks)
        return Storage(size, stored.blocks + inner, block_map, stored.index is not None)
