"""What each inode will keep in blocks, known before there is a file system: so its size can be right at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from builder.disk.ext4.dirents import directory_blocks, entry_type
from builder.disk.ext4.extents import tree_blocks
from builder.disk.ext4.groups import MAX_PER_GROUP
from builder.disk.ext4.layout import BLOCK_SIZE
from builder.disk.ext4.plan import FAST_TARGET, Inode, Plan
from builder.exact import CHUNK, read_at
from builder.tree.nodes import Content, Directory, File, Symlink
from builder.tree.spool import Spool

_ZEROS = bytes(BLOCK_SIZE)

# Files are cut where groups end, and in a group around its own blocks and the journal: each time, an extent tree may
# grow by a leaf and an index block.
_TREE_BLOCKS_PER_GROUP = 6


@dataclass(frozen=True, slots=True)
class Stored:
    """The content of an inode: `size` bytes, of which the `stretches` are not all zero: (first block, count).

    Of a file it is in the spool from `source` on, else it is `written`, in whole blocks.
    """

    inode: Inode
    size: int
    stretches: tuple[tuple[int, int], ...]
    source: int = 0
    written: bytes = b""

    @property
    def blocks(self) -> int:
        """How many blocks of the file system the content takes."""
        return sum(count for _, count in self.stretches)


def collect(planned: Plan, spool: Spool, uuid: UUID) -> list[Stored]:
    """Return the content of all inodes that have any: directories and long symlinks, then the files.

    Those come in the order of the spool, so that what is next to each other there will be in the image.
    """
    parents = {planned.inodes[0].number: planned.inodes[0].number}
    written = []
    files: list[tuple[Inode, Content]] = []
    for inode in planned.inodes:
        match inode.node:
            case Directory(children=children):
                entries = []
                for name, child in sorted(children.items()):
                    number = planned.number(child)
                    entries.append((name, number, entry_type(child)))
                    if isinstance(child, Directory):
                        parents[number] = inode.number
                written.append(_written(inode, directory_blocks(inode.number, parents[inode.number], entries, uuid)))
            case Symlink(target=target) if len(target) > FAST_TARGET:
                written.append(_written(inode, target))
            case File(content=content) if content.size:
                files.append((inode, content))
    files.sort(key=lambda file: file[1].offset)
    return written + [
        Stored(inode, content.size, tuple(_stretches(spool, content)), content.offset) for inode, content in files
    ]


def blocks_needed(contents: list[Stored], planned: Plan, inodes: int) -> int:
    """Return how many blocks the content takes in a file system of `inodes`, at most: with extent trees and xattrs."""
    blocks = len(planned.xattr_blocks) + sum(each.blocks + tree_blocks(len(each.stretches)) for each in contents)
    groups = 2 + blocks // MAX_PER_GROUP + inodes // MAX_PER_GROUP
    return blocks + groups * _TREE_BLOCKS_PER_GROUP


def _written(inode: Inode, content: bytes) -> Stored:
    blocks = -(-len(content) // BLOCK_SIZE)
    return Stored(inode, len(content), ((0, blocks),), written=content.ljust(blocks * BLOCK_SIZE, b"\0"))


def _stretches(spool: Spool, content: Content) -> Iterator[tuple[int, int]]:
    """Yield the stretches of blocks that hold more than zeros.

    Not every file system says exactly where a file has holes: without looking, the same tree would make other images
    there.
    """
    first = count = 0
    for block in _filled_blocks(spool, content):
        if block != first + count:
            if count:
                yield first, count
            first, count = block, 0
        count += 1
    if count:
        yield first, count


def _filled_blocks(spool: Spool, content: Content) -> Iterator[int]:
    end = 0
    for position, length in spool.data(content):
        start = position - content.offset
        # Where blocks are smaller than ours, two stretches may touch the same one.
        first, end = max(start // BLOCK_SIZE, end), -(-(start + length) // BLOCK_SIZE)
        for block in range(first, end, CHUNK // BLOCK_SIZE):
            size = min((end - block) * BLOCK_SIZE, CHUNK)
            chunk = read_at(spool.fd, size, content.offset + block * BLOCK_SIZE)
            for at in range(0, size, BLOCK_SIZE):
                if not chunk.startswith(_ZEROS, at):
                    yield block + at // BLOCK_SIZE
