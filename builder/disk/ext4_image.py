"""The inode tables of an image that mke2fs has filled: every inode becomes what the tree says it is."""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from uuid import UUID

from builder.disk.ext4_inode import INODE_SIZE, NOTHING, encode_inode, read_storage
from builder.disk.ext4_plan import ROOT_INODE, Inode, Plan, staged_number
from builder.disk.ext4_xattr import seal_block
from builder.tree.nodes import Directory, File

BLOCK_SIZE = 4096
_DESCRIPTOR_SIZE = 64


@dataclass(frozen=True, slots=True)
class Superblock:
    """What an image says about itself (kernel documentation, filesystems/ext4/super)."""

    inodes: int
    blocks: int
    free_blocks: int
    free_inodes: int
    inodes_per_group: int

    def group(self, number: int) -> int:
        """Return the block group whose table holds inode `number`."""
        return (number - 1) // self.inodes_per_group


def read_superblock(fd: int) -> Superblock:
    """Read the superblock of the image `fd`."""
    data = os.pread(fd, 1024, 1024)
    inodes, blocks, _, free_blocks, free_inodes = struct.unpack_from("<5I", data, 0)
    blocks_high, _, free_blocks_high = struct.unpack_from("<3I", data, 0x150)
    (inodes_per_group,) = struct.unpack_from("<I", data, 0x28)
    return Superblock(
        inodes=inodes,
        blocks=blocks | blocks_high << 32,
        free_blocks=free_blocks | free_blocks_high << 32,
        free_inodes=free_inodes,
        inodes_per_group=inodes_per_group,
    )


def write_inodes(fd: int, planned: Plan, uuid: UUID) -> None:
    """Write every inode of the plan into the image `fd`.

    The inodes that only brought content in are left without links, for debugfs to free (see `clean_up`).
    """
    superblock = read_superblock(fd)

    def offset(number: int) -> int:
        return _inode_offset(fd, superblock, number)

    # The root has a number of its own: its content changes places with that of the directory mke2fs made.
    carrier = staged_number(0)
    moved = {
        ROOT_INODE: read_storage(os.pread(fd, INODE_SIZE, offset(carrier))),
        carrier: read_storage(os.pread(fd, INODE_SIZE, offset(ROOT_INODE))),
    }
    temporary = {number: Inode(number, Directory()) for number in planned.temporary()}
    xattr_blocks = {id(None): 0}
    for block in planned.xattr_blocks:
        carrier = staged_number(block.position)
        number = read_storage(os.pread(fd, INODE_SIZE, offset(carrier))).first_block
        os.pwrite(fd, seal_block(block.content, block.users, number, uuid), number * BLOCK_SIZE)
        xattr_blocks[id(block)] = number
        # The block stays; its carrier must not take it along when it is freed.
        moved[carrier] = NOTHING
        temporary[carrier] = Inode(carrier, File())
    inodes = sorted([*planned.inodes, *temporary.values()], key=lambda inode: inode.number)
    for _, group in groupby(inodes, key=lambda inode: superblock.group(inode.number)):
        members = list(group)
        first, last = members[0].number, members[-1].number
        start = offset(first)
        table = bytearray(os.pread(fd, (last - first + 1) * INODE_SIZE, start))
        for inode in members:
            slot = slice((inode.number - first) * INODE_SIZE, (inode.number - first + 1) * INODE_SIZE)
            storage = moved.get(inode.number) or read_storage(bytes(table[slot]))
            xattrs = (inode.xattr_body, xattr_blocks[id(inode.xattr_block)])
            table[slot] = encode_inode(inode.number, inode.node, inode.links, storage, xattrs, uuid)
        os.pwrite(fd, table, start)


def clean_up(planned: Plan, superblock: Superblock) -> Iterator[str]:
    """Yield the debugfs commands that free what only served to bring content in, and count the directories.

    mke2fs made all directories but its own as files, so the number that each group states is wrong.
    """
    temporary = list(planned.temporary())
    for number in temporary:
        yield f"kill_file <{number}>"
    directories = Counter(
        superblock.group(inode.number) for inode in planned.inodes if isinstance(inode.node, Directory)
    )
    for group in range(superblock.group(max(temporary[-1], planned.inodes[-1].number)) + 1):
        yield f"set_bg {group} used_dirs_count {directories[group]}"
        yield f"set_bg {group} checksum calc"


def _inode_offset(fd: int, superblock: Superblock, number: int) -> int:
    descriptor = os.pread(fd, _DESCRIPTOR_SIZE, BLOCK_SIZE + superblock.group(number) * _DESCRIPTOR_SIZE)
    low, high = struct.unpack_from("<I", descriptor, 0x08)[0], struct.unpack_from("<I", descriptor, 0x28)[0]
    return int(high << 32 | low) * BLOCK_SIZE + (number - 1) % superblock.inodes_per_group * INODE_SIZE
