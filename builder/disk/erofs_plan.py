"""What mkfs.erofs gets of a tree: numbered files, one for each inode, from which it lays the image out.

Neither names nor types nor metadata are its business, so nothing about them depends on its version, on who runs it
or on a file system below: erofs_restore.py writes them. Compressed, the content of files goes through mkfs.erofs.
Not compressed, and for directories, symlinks and the like, it gets zeros in place of the last, partial block, which
it may put behind the inode; the content is copied into the image once, and holes stay holes. Compressing a file that
is mostly holes would take long, so it is left uncompressed. All this follows from the content, never from how a
file system stores it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from builder.disk.erofs_layout import BLOCK, directory_size
from builder.tree.nodes import Content, Directory, File, Node, Symlink
from builder.tree.spool import Spool
from builder.tree.tree import Tree

# mkfs.erofs compresses what it gets in directories with the first letter, and not what it gets in the other's.
PACKED, DIRECT = b"c", b"d"
# Reading a tar, mkfs.erofs 1.8 searches the directory for every entry: 100,000 in one directory take 90 s.
_PER_DIRECTORY = 1000

# Smaller files are worth no look at their content.
_LARGE = 64 << 20
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Plan:
    """The inodes of a tree but the root, in its order: those whose content mkfs.erofs packs, and the others.

    `links` has the number of names, by `id()`, of those that have more than one.
    """

    root: Directory
    packed: list[File]
    direct: list[Node]
    links: dict[int, int]

    def fed(self) -> Iterator[tuple[bytes, Node, int]]:
        """Yield (name, node, size in bytes) of each file that mkfs.erofs gets; names are `b"c0000/000"` and so on."""
        for number, file in enumerate(self.packed):
            yield _name(PACKED, number), file, file.content.size
        for number, node in enumerate(self.direct):
            yield _name(DIRECT, number), node, direct_size(node) % BLOCK


def plan(tree: Tree, spool: Spool, compressed: bool) -> Plan:
    """Number the inodes of `tree`."""
    planned = Plan(tree.root, [], [], {})
    seen: dict[int, int] = {}
    for _, node in tree.walk():
        seen[id(node)] = seen.get(id(node), 0) + 1
        if seen[id(node)] > 1:
            continue
        if compressed and isinstance(node, File) and node.content.size and not _is_sparse(node.content, spool):
            planned.packed.append(node)
        else:
            planned.direct.append(node)
    planned.links.update((key, count) for key, count in seen.items() if count > 1)
    return planned


def direct_size(node: Node) -> int:
    """Return how many bytes of data an inode has."""
    match node:
        case File():
            return node.content.size
        case Symlink():
            return len(node.target)
        case Directory():
            return directory_size(node.children)
        case _:
            return 0


def number_of(directory: bytes, name: bytes) -> int:
    """Return the place in `Plan.packed` or `Plan.direct` of what was fed as `directory/name`."""
    return int(directory[1:]) * _PER_DIRECTORY + int(name)


def _name(letter: bytes, number: int) -> bytes:
    return b"%s%04d/%03d" % (letter, number // _PER_DIRECTORY, number % _PER_DIRECTORY)


def _is_sparse(content: Content, spool: Spool) -> bool:
    """Tell whether a large file has more blocks of zeros than others."""
    if content.size < _LARGE:
        return False
    left = content.size // BLOCK // 2
    for start, length in spool.data(content):
        for position in range(start, start + length, _CHUNK):
            chunk = os.pread(spool.fd, min(_CHUNK, start + length - position), position)
            for offset in range(0, len(chunk), BLOCK):
                block = chunk[offset : offset + BLOCK]
                left -= block.count(0) != len(block)
            if left < 0:
                return False
    return True
