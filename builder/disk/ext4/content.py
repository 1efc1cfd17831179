"""What each inode will keep in blocks, known before there is a file system: so its size can be right at once."""

from __future__ import annotations

from uuid import UUID

from msgspec import Struct

from builder.disk.ext4.dirents import Entry, block_count, directory_blocks
from builder.disk.ext4.extents import tree_blocks
from builder.disk.ext4.groups import MAX_PER_GROUP
from builder.disk.ext4.htree import Index, index_of, indexed_blocks
from builder.disk.ext4.layout import BLOCK_SIZE
from builder.disk.ext4.plan import FAST_TARGET, Plan
from builder.disk.numbering import file_type
from builder.tree.nodes import Directory, File, Node, Symlink
from builder.tree.spool import Spool

# Files are cut where groups end, and in a group around its own blocks and the journal: each time, an extent tree may
# grow by a leaf and an index block.
_TREE_BLOCKS_PER_GROUP = 6

# Logical blocks of a content that hold more than zeros, and so are mapped: (first, count) of each run.
Mapped = tuple[tuple[int, int], ...]


class Stored(Struct, frozen=True, gc=False):
    """The content of inode `number`: its `mapped` blocks; all others are holes.

    A directory of more than one block has an index.
    """

    number: int
    mapped: Mapped
    index: Index | None = None

    @property
    def blocks(self) -> int:
        """How many blocks of the file system the content takes."""
        return sum([count for _, count in self.mapped])


def collect(planned: Plan, spool: Spool, hash_seed: UUID) -> list[Stored]:
    """Return the content of all inodes that have any: directories and long symlinks, then the files.

    Names in indexes are hashed with `hash_seed`. Files come in the order of the spool, so that what is next to each
    other there will be in the image.
    """
    # Most contents are one run of few blocks: those are there once.
    known: dict[Mapped, Mapped] = {}

    def add(number: int, mapped: Mapped, index: Index | None = None) -> None:
        contents.append(Stored(number, known.setdefault(mapped, mapped), index))

    contents: list[Stored] = []
    files: list[File] = []
    for number, node in planned.inodes():
        if isinstance(node, Directory):
            names = sorted(node.children)
            index = index_of(names, hash_seed)
            blocks = block_count(names) if index is None else index.blocks
            add(number, ((0, blocks),), index)
        elif isinstance(node, File):
            if node.content.size:
                files.append(node)
        elif isinstance(node, Symlink) and len(node.target) > FAST_TARGET:
            add(number, ((0, 1),))
    files.sort(key=lambda file: file.content.offset)
    for file in files:
        data, start = spool.data(file.content), file.content.offset
        add(planned.numbers[file], tuple([((at - start) // BLOCK_SIZE, -(-size // BLOCK_SIZE)) for at, size in data]))
    return contents


def written(planned: Plan, stored: Stored, parent: int, uuid: UUID) -> bytes:
    """Return the content of a directory, whose `parent` is an inode number, or of a long symlink, in whole blocks."""
    number = stored.number
    node = planned.node(number)
    match node:
        case Directory(children=children):

            def entry(name: bytes) -> Entry:
                child = children[name]
                return name, planned.numbers[child], file_type(child)

            if stored.index is not None:
                return indexed_blocks(number, parent, stored.index, entry, uuid)
            return directory_blocks(number, parent, map(entry, sorted(children)), uuid)
        case Symlink(target=target):
            return target.ljust(BLOCK_SIZE, b"\0")
        case _:
            raise ValueError(f"inode {number} has no content of its own")


def size_of(node: Node, blocks: int) -> int:
    """Return the size in bytes of a node's content, which takes `blocks`."""
    match node:
        case File(content=content):
            return content.size
        case Symlink(target=target):
            return len(target)
        case _:
            return blocks * BLOCK_SIZE


def blocks_needed(contents: list[Stored], planned: Plan, inodes: int) -> int:
    """Return how many blocks the content takes in a file system of `inodes`, at most: with extent trees and xattrs."""
    blocks = len(planned.xattr_blocks) + sum(each.blocks + tree_blocks(len(each.mapped)) for each in contents)
    groups = 2 + blocks // MAX_PER_GROUP + inodes // MAX_PER_GROUP
    return blocks + groups * _TREE_BLOCKS_PER_GROUP
