"""A tree in memory, name by name, as it is to be found on a disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial

from builder.exact import CHUNK
from builder.tree.found import Found, Inode, Stretches, stretches
from builder.tree.nodes import Device, Directory, File, Node, Symlink, full_mode
from builder.tree.spool import Spool
from builder.tree.tree import Tree


def found_of(tree: Tree, spool: Spool) -> Iterator[Found]:
    """Yield every name of a tree in memory, the root first, as if it stood on a disk."""
    names = Counter(map(id, tree.nodes()))
    yield Found(b"", _inode(tree.root, spool, 1))
    for path, node in tree.walk():
        yield Found(path, _inode(node, spool, names[id(node)]))


def _inode(node: Node, spool: Spool, names: int) -> Inode:
    content = node.content if isinstance(node, File) else None
    return Inode(
        number=id(node),
        mode=full_mode(node),
        links=_links(node) if isinstance(node, Directory) else names,
        uid=node.uid,
        gid=node.gid,
        mtime_ns=node.mtime_ns,
        xattrs=node.xattrs,
        size=content.size if content else 0,
        target=node.target if isinstance(node, Symlink) else b"",
        device=(node.major, node.minor) if isinstance(node, Device) else (0, 0),
        data=partial(_data, node, spool),
    )


def _links(directory: Directory) -> int:
    return 2 + sum(isinstance(child, Directory) for child in directory.children.values())


def _data(node: Node, spool: Spool) -> Stretches:
    if isinstance(node, File):
        for start, length in spool.data(node.content):
            yield from stretches(spool.read_at, start - node.content.offset, start, length, CHUNK)
