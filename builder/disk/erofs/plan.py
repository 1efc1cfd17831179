"""What mkfs.erofs gets of a tree: the files that it is to compress, by numbers.

Neither names nor types nor metadata are its business, so nothing about them depends on its version, on who runs it
or on a file system below: restore.py writes them, and all that is not compressed: directories, symlinks and the like,
files that cannot become smaller, and files that are mostly holes, which would take long to compress and stay holes when
they are copied. All this follows from the content, never from how a file system stores it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from builder.disk.erofs.layout import BLOCK, directory_size
from builder.disk.erofs.place import behind
from builder.tree.nodes import Content, Directory, File, Node, Symlink
from builder.tree.spool import Spool
from builder.tree.tree import Tree

# Reading a tar, mkfs.erofs 1.8 searches the directory for every entry: 100,000 in one directory take 90 s.
_PER_DIRECTORY = 1000

# Smaller files are worth no look at their content.
_LARGE = 64 << 20


@dataclass(frozen=True, slots=True)
class Plan:
    """The inodes of a tree but the root, in its order: those that mkfs.erofs compresses, and the others.

    `links` has the number of names of those that have more than one.
    """

    root: Directory
    packed: list[File]
    direct: list[Node]
    links: dict[Node, int]

    def fed(self) -> Iterator[tuple[bytes, File]]:
        """Yield (name, file) of each file that mkfs.erofs gets; names are `b"0000/000"` and so on."""
        for number, file in enumerate(self.packed):
            yield b"%04d/%03d" % (number // _PER_DIRECTORY, number % _PER_DIRECTORY), file

    def contents(self) -> Iterator[Content]:
        """Yield where the spool has the content of each file that has any."""
        for node in (*self.packed, *self.direct):
            if isinstance(node, File) and node.content.size:
                yield node.content

    def bodies(self) -> Iterator[Content]:
        """Yield where the spool has the whole blocks of each file that mkfs.erofs does not get."""
        for node in self.direct:
            if isinstance(node, File) and (size := node.content.size - behind(0, node.content.size)):
                yield Content(node.content.offset, size)


def plan(tree: Tree, spool: Spool, least: int | None) -> Plan:
    """Number the inodes of `tree`; files of at least so many bytes are to be compressed, or none."""
    planned = Plan(tree.root, [], [], {})
    names: dict[Node, int] = {}
    for _, node in tree.walk():
        names[node] = names.get(node, 0) + 1
        if names[node] > 1:
            continue
        if least and isinstance(node, File) and node.content.size >= least and not _is_sparse(node.content, spool):
            planned.packed.append(node)
        else:
            planned.direct.append(node)
    planned.links.update((node, count) for node, count in names.items() if count > 1)
    return planned


def data_size(node: Node) -> int:
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
    """Return the place in `Plan.packed` of what was fed as `directory/name`."""
    return int(directory) * _PER_DIRECTORY + int(name)


def _is_sparse(content: Content, spool: Spool) -> bool:
    """Tell whether a large file has more blocks of zeros than others."""
    if content.size < _LARGE:
        return False
    whole = Content(content.offset, content.size - content.size % BLOCK)
    held = sum(length // BLOCK for _, length in spool.data(whole))
    return held <= content.size // BLOCK // 2
