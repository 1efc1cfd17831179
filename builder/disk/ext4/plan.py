"""Which inode of the image gets which number, how many names it has, and which xattrs it keeps where."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from builder.disk.ext4.xattr import encode_xattrs
from builder.errors import TreeRefused
from builder.linux import MAX_NAME, MAX_PATH
from builder.tree.nodes import Device, Directory, File, Node, Symlink
from builder.tree.tree import Tree

ROOT_INODE = 2
# The ten before it are the file system's own, and the root is one of them.
FIRST_INODE = 11

# Kernel, fs/ext4/ext4.h: EXT4_LINK_MAX; fs/ext4/xattr.h: EXT4_XATTR_REFCOUNT_MAX.
_MAX_LINKS = 65000
_MAX_XATTR_USERS = 1024

# A symlink of up to 59 bytes is kept in the inode, where a file has its block map.
FAST_TARGET = 59
# Blocks are numbered with 32 bits inside a file.
_MAX_FILE_SIZE = (2**32 - 1) * 4096


@dataclass(slots=True)
class XattrBlock:
    """A block for the xattrs of an inode that do not fit into it; `users` inodes have the same and share it."""

    xattrs: Mapping[bytes, bytes]
    users: int = 0


@dataclass(frozen=True, slots=True)
class Xattrs:
    """Xattrs as an inode has them: some in itself, the others in a block."""

    body: bytes = b""
    block: XattrBlock | None = None


_NO_XATTRS = Xattrs()


@dataclass(slots=True)
class Plan:
    """Every inode in the order of numbers (the root first), and every shared xattr block.

    Millions of inodes are to be planned in little memory: what all have is in arrays of numbers, what few have in
    tables of those, and what is equal is there once.
    """

    nodes: list[Node] = field(default_factory=list)
    numbers: dict[Node, int] = field(default_factory=dict)
    xattr_blocks: list[XattrBlock] = field(default_factory=list)
    _links: array[int] = field(default_factory=lambda: array("H"))
    _xattrs: dict[int, Xattrs] = field(default_factory=dict)

    @property
    def last_inode(self) -> int:
        """The highest number: all up to it are in use."""
        return FIRST_INODE + len(self.nodes) - 2

    def inodes(self) -> Iterator[tuple[int, Node]]:
        """Yield the number and the node of every inode."""
        # The numbers that are already there, instead of as many new ones.
        return zip(self.numbers.values(), self.nodes, strict=True)

    def node(self, number: int) -> Node:
        """Return the node that has an inode number."""
        return self.nodes[place_of(number)]

    def links(self, number: int) -> int:
        """Return how many names an inode has; a directory also counts in itself and in those below it."""
        return self._links[place_of(number)]

    def xattrs(self, number: int) -> Xattrs:
        """Return an inode's xattrs."""
        return self._xattrs.get(number, _NO_XATTRS)

    def add(self, node: Node, xattrs: Xattrs) -> int:
        """Give a node the next number, and return that."""
        self.nodes.append(node)
        number = self.numbers[node] = self.last_inode if len(self.nodes) > 1 else ROOT_INODE
        self._links.append(_directory_links(node) if isinstance(node, Directory) else 0)
        if xattrs is not _NO_XATTRS:
            self._xattrs[number] = xattrs
        return number

    def link(self, number: int) -> None:
        """Count one more name of an inode."""
        self._links[place_of(number)] += 1


def place_of(number: int) -> int:
    """Return the place of an inode number among those in use by the tree: 0 for the root."""
    return number - FIRST_INODE + 1 if number >= FIRST_INODE else 0


def plan(tree: Tree) -> Plan:
    """Number the inodes of `tree` in the order of its walk.

    Raises TreeRefused for what ext4 cannot hold: names, link counts, symlink targets, file sizes, xattrs.
    """
    planned = Plan()
    sharing = _Sharing(planned.xattr_blocks)
    planned.add(tree.root, sharing.xattrs(b"", tree.root))
    for path, node in tree.walk():
        _check(path, node)
        number = planned.numbers.get(node)
        if number is None:
            number = planned.add(node, sharing.xattrs(path, node))
        if not isinstance(node, Directory):
            if planned.links(number) == _MAX_LINKS:
                raise TreeRefused(path, f"a file of ext4 has at most {_MAX_LINKS} names; erofs takes more")
            planned.link(number)
    return planned


def _directory_links(directory: Directory) -> int:
    links = 2 + sum(isinstance(child, Directory) for child in directory.children.values())
    # Feature dir_nlink: 1 stands for more than can be counted.
    return links if links <= _MAX_LINKS else 1


def _check(path: bytes, node: Node) -> None:
    name = path[path.rfind(b"/") + 1 :]
    if len(name) > MAX_NAME:
        raise TreeRefused(path, f"the name has {len(name)} bytes, and ext4 holds {MAX_NAME}")
    if isinstance(node, Symlink):
        if not 0 < len(node.target) <= MAX_PATH or b"\0" in node.target:
            raise TreeRefused(path, f"a symlink's target has 1 to {MAX_PATH} bytes and no NUL")
    elif isinstance(node, File) and node.content.size > _MAX_FILE_SIZE:
        raise TreeRefused(path, f"the file has {node.content.size} bytes, and ext4 holds {_MAX_FILE_SIZE}")
    elif isinstance(node, Device) and not (node.major < 2**12 and node.minor < 2**20):
        raise TreeRefused(path, f"Linux has no device {node.major}:{node.minor}")


class _Sharing:
    """Has equal xattrs share a block, and be there once; `blocks` gets every block."""

    def __init__(self, blocks: list[XattrBlock]) -> None:
        self._blocks = blocks
        self._shared: dict[bytes, XattrBlock] = {}
        self._known: dict[tuple[bytes, int], Xattrs] = {}

    def xattrs(self, path: bytes, node: Node) -> Xattrs:
        """Return the xattrs of a node that is an inode's first name; raises TreeRefused."""
        if not node.xattrs:
            return _NO_XATTRS
        body, content = encode_xattrs(path, node.xattrs)
        block = None
        if content is not None:
            # A block is much larger than what says that it is the same.
            key = sha256(content).digest()
            block = self._shared.get(key)
            if block is None or block.users == _MAX_XATTR_USERS:
                block = self._shared[key] = XattrBlock(node.xattrs)
                self._blocks.append(block)
            block.users += 1
        return self._known.setdefault((body, id(block)), Xattrs(body, block))
