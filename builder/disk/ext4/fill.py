"""A new file system gets its files: blocks and inodes are given to them, then everything is written in its place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import groupby
from uuid import UUID

from builder.disk.ext4.content import Stored
from builder.disk.ext4.extents import Extent, decode_root, encode_tree, tree_blocks
from builder.disk.ext4.groups import Groups
from builder.disk.ext4.inode import NOTHING, Storage, encode_inode, read_block_map
from builder.disk.ext4.layout import BLOCK_SIZE, INODE_SIZE
from builder.disk.ext4.plan import FIRST_INODE, ROOT_INODE, Plan
from builder.disk.ext4.xattr import seal_block
from builder.exact import read_at, write_at
from builder.tree.nodes import Directory
from builder.tree.spool import Spool

# mke2fs makes lost+found, always, as the first inode.
_LOST_FOUND_INODE = FIRST_INODE

# How much is copied between two words about the progress, in bytes.
_STEP = 16 << 20


def fill(
    fd: int, planned: Plan, contents: list[Stored], spool: Spool, uuid: UUID, progress: Callable[[int], None]
) -> None:
    """Write all inodes of the plan with their `contents` into the image `fd`, as mke2fs has made it.

    `progress` is told how many bytes of the spool have been copied so far.
    """
    groups = Groups(fd, uuid)
    _empty(fd, groups)
    storage: dict[int, Storage] = {}
    copies = _Copies()
    for stored in contents:
        storage[stored.inode.number] = _store(fd, groups, stored, copies, uuid)
    xattr_blocks = {id(None): 0}
    for block in planned.xattr_blocks:
        [(number, _)] = groups.take(1)
        write_at(fd, seal_block(block.content, block.users, number, uuid), number * BLOCK_SIZE)
        xattr_blocks[id(block)] = number
    _write_inodes(fd, groups, planned, storage, xattr_blocks, uuid)
    directories = Counter(groups.holding(inode.number) for inode in planned.inodes if isinstance(inode.node, Directory))
    groups.save(planned.last_inode, directories)
    copies.make(spool, fd, progress)


def _empty(fd: int, groups: Groups) -> None:
    """Take away what mke2fs has put in: lost+found, and the root directory that names it."""
    for number in (ROOT_INODE, _LOST_FOUND_INODE):
        offset = groups.inode_offset(number)
        for extent in decode_root(read_block_map(read_at(fd, INODE_SIZE, offset))):
            groups.release(extent.physical, extent.length)
        write_at(fd, bytes(INODE_SIZE), offset)


def _store(fd: int, groups: Groups, stored: Stored, copies: _Copies, uuid: UUID) -> Storage:
    """Find room for a content, and write what is not in the spool."""
    extents = []
    for logical, count in stored.stretches:
        for physical, length in groups.take(count):
            extents.append(Extent(logical, physical, length))
            start = logical * BLOCK_SIZE
            if stored.written:
                write_at(fd, stored.written[start : start + length * BLOCK_SIZE], physical * BLOCK_SIZE)
            else:
                copies.add(stored.source + start, physical * BLOCK_SIZE, length * BLOCK_SIZE)
            logical += length
    inner = tree_blocks(len(extents))
    numbers = (first + index for first, count in groups.take(inner) for index in range(count))
    block_map, nodes = encode_tree(extents, numbers, stored.inode.number, uuid)
    for block, node in nodes.items():
        write_at(fd, node, block * BLOCK_SIZE)
    return Storage(stored.size, stored.blocks + inner, block_map)


def _write_inodes(
    fd: int, groups: Groups, planned: Plan, storage: dict[int, Storage], xattr_blocks: dict[int, int], uuid: UUID
) -> None:
    for _, group in groupby(planned.inodes, key=lambda inode: groups.holding(inode.number)):
        members = list(group)
        first, last = members[0].number, members[-1].number
        start = groups.inode_offset(first)
        # Between the root and the first of the others are the file system's own.
        table = bytearray(read_at(fd, (last - first + 1) * INODE_SIZE, start))
        for inode in members:
            xattrs = (inode.xattr_body, xattr_blocks[id(inode.xattr_block)])
            encoded = encode_inode(
                inode.number, inode.node, inode.links, storage.get(inode.number, NOTHING), xattrs, uuid
            )
            offset = (inode.number - first) * INODE_SIZE
            table[offset : offset + INODE_SIZE] = encoded
        write_at(fd, table, start)


class _Copies:
    """What to copy from the spool into the image; files that are neighbours in both are copied in one go."""

    def __init__(self) -> None:
        self._runs: list[tuple[int, int, int]] = []

    def add(self, source: int, target: int, length: int) -> None:
        if self._runs:
            before, there, size = self._runs[-1]
            if (before + size, there + size) == (source, target):
                self._runs[-1] = (before, there, size + length)
                return
        self._runs.append((source, target, length))

    def make(self, spool: Spool, fd: int, progress: Callable[[int], None]) -> None:
        done = 0
        for source, target, length in self._runs:
            for start in range(0, length, _STEP):
                size = min(length - start, _STEP)
                spool.copy_part(source + start, size, fd, target + start)
                done += size
                progress(done)
