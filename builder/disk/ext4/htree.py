"""The index of a directory of more than one block: the kernel finds a name by its hash, without reading the rest
(kernel documentation, filesystems/ext4/directory, "Hash Tree Directories").

The first block is the root of a tree, the last ones are its leaves, which hold the entries in the order of hashes;
where the root has no room for all leaves, nodes between them have. To who reads block by block, root and nodes seem
empty.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from uuid import UUID

from builder.disk.ext4.dirents import ROOM, Entry, block_count, entry_blocks, entry_size
from builder.disk.ext4.half_md4 import name_hashes
from builder.disk.ext4.layout import BLOCK_SIZE, checksum
from builder.disk.numbering import FT_DIRECTORY

# Hash and block of what is below; in the first, room for such and how many there are take the place of the hash.
_BELOW = struct.Struct("<II")
_COUNTS = struct.Struct("<HH")
# dx_root: the directory's own entry and its parent's; zero, version of the hash, size of this, levels of nodes, flags.
_ROOT = struct.Struct("<IHBB4s IHBB4s IBBBB")
_HALF_MD4 = 1
# dx_node: an entry of nothing.
_NODE = struct.Struct("<IHBB")
# dx_tail: zero, checksum.
_TAIL = struct.Struct("<II")

_IN_ROOT = (BLOCK_SIZE - _ROOT.size - _TAIL.size) // _BELOW.size
_IN_NODE = (BLOCK_SIZE - _NODE.size - _TAIL.size) // _BELOW.size

# Without the feature large_dir, which Linux has from 4.13 on and few boot loaders read, there is one level of nodes.
# That is for a million entries of the longest names at least, and fifty million short ones.
_MAX_LEAVES = _IN_ROOT * _IN_NODE

# The kernel takes this hash for the one before it, and e2fsck does not.
_LAST_HASH = 0xFFFFFFFE


@dataclass(frozen=True, slots=True)
class Index:
    """A directory's `names` in the order of their hashes, and the hash and the first name's place of each leaf.

    A leaf whose first name shares its hash with the name before it has the lowest bit set: the kernel goes on
    from one leaf to the next where it may find the rest of them.
    """

    names: Sequence[bytes]
    leaves: Sequence[tuple[int, int]]

    @property
    def nodes(self) -> int:
        """How many nodes are between root and leaves."""
        return -(-len(self.leaves) // _IN_NODE) if len(self.leaves) > _IN_ROOT else 0

    @property
    def blocks(self) -> int:
        """How many blocks the directory has."""
        return 1 + self.nodes + len(self.leaves)


def index_of(names: Sequence[bytes], seed: UUID) -> Index | None:
    """Return the index of a directory with these sorted `names` under a file system's hash seed; None: it has none.

    As in a directory that the kernel made, there is none for what is in one block. There is none either where kernel
    and e2fsck would not agree, or where a tree of two levels is too small: the kernel reads such a directory through.
    """
    if block_count(names) == 1:
        return None
    # Numbers are sorted in a third of the time that pairs take: the hash above, and the place among the names below.
    keys = sorted(value << 32 | place for place, value in enumerate(name_hashes(names, seed.bytes)))
    if keys[-1] >> 32 == _LAST_HASH:
        return None
    ordered = [names[key & 0xFFFFFFFF] for key in keys]
    leaves = [(0, 0)]
    room = ROOM
    for place, name in enumerate(ordered):
        size = entry_size(name)
        if size > room:
            value, before = keys[place] >> 32, keys[place - 1] >> 32
            leaves.append((value | (value == before), place))
            room = ROOM
        room -= size
    return Index(ordered, leaves) if len(leaves) <= _MAX_LEAVES else None


def indexed_blocks(number: int, parent: int, index: Index, entry: Callable[[bytes], Entry], uuid: UUID) -> bytes:
    """Return the blocks of directory `number`; `entry` gives the entry of a name."""
    first_leaf = 1 + index.nodes
    below = [(value, first_leaf + leaf) for leaf, (value, _) in enumerate(index.leaves)]
    nodes = b""
    if index.nodes:
        parts = [below[start : start + _IN_NODE] for start in range(0, len(below), _IN_NODE)]
        head = _NODE.pack(0, BLOCK_SIZE, 0, 0)
        nodes = b"".join(_closed(head, part, number, uuid) for part in parts)
        below = [(part[0][0], 1 + node) for node, part in enumerate(parts)]
    own, parents = (number, 12, 1, FT_DIRECTORY, b"."), (parent, BLOCK_SIZE - 12, 2, FT_DIRECTORY, b"..")
    head = _ROOT.pack(*own, *parents, 0, _HALF_MD4, 8, 1 if nodes else 0, 0)
    root = _closed(head, below, number, uuid)
    places = [*(place for _, place in index.leaves), len(index.names)]
    leaves = (entry_blocks(map(entry, index.names[start:end]), number, uuid) for start, end in pairwise(places))
    return b"".join([root, nodes, *leaves])


def _closed(head: bytes, below: Sequence[tuple[int, int]], number: int, uuid: UUID) -> bytes:
    """Return a root or node with this `head` and the hash and block of all that is below it."""
    table = bytearray(b"".join(_BELOW.pack(value, block) for value, block in below))
    room = (BLOCK_SIZE - len(head) - _TAIL.size) // _BELOW.size
    _COUNTS.pack_into(table, 0, room, len(below))
    used = head + bytes(table)
    # The zero beside the number is the inode's generation; the others are the tail as it is without its checksum.
    seal = checksum((uuid.bytes, struct.pack("<II", number, 0), used, bytes(_TAIL.size)))
    return used.ljust(BLOCK_SIZE - _TAIL.size, b"\0") + _TAIL.pack(0, seal)
