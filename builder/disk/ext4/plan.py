"""Which inode of the image gets which number, how many names it has, and which xattrs it keeps where."""

from __future__ import annotations

from dataclasses import dataclass, field

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
class Inode:
    """One inode to be: its number, its link count, its xattrs as the inode holds them, and its xattr block."""

    number: int
    node: Node
    links: int = 0
    xattr_body: bytes = b""
    xattr_block: XattrBlock | None = None


@dataclass(slots=True)
class XattrBlock:
    """A block of xattrs that `users` inodes share; its checksum is still missing."""

    content: bytes
    users: int = 0


@dataclass(slots=True)
class Plan:
    """Every inode in the order of numbers (the root first), and every shared xattr block."""

    inodes: list[Inode]
    numbers: dict[int, int]
    xattr_blocks: list[XattrBlock] = field(default_factory=list)

    def number(self, node: Node) -> int:
        """Return the inode number of `node`."""
        return self.numbers[id(node)]

    @property
    def last_inode(self) -> int:
        """The highest number: all up to it are in use."""
        return FIRST_INODE + len(self.inodes) - 2


def plan(tree: Tree) -> Plan:
    """Number the inodes of `tree` in the order of its walk.

    Raises TreeRefused for what ext4 cannot hold: names, link counts, symlink targets, file sizes, xattrs.
    """
    root = Inode(ROOT_INODE, tree.root)
    planned = Plan([root], {id(tree.root): ROOT_INODE})
    sharing: dict[bytes, XattrBlock] = {}
    _add_xattrs(planned, root, b"", sharing)
    root.links = _directory_links(tree.root)
    by_node = {id(tree.root): root}
    for path, node in tree.walk():
        _check(path, node)
        inode = by_node.get(id(node))
        if inode is None:
            inode = Inode(planned.last_inode + 1, node)
            planned.inodes.append(inode)
            planned.numbers[id(node)] = inode.number
            by_node[id(node)] = inode
            _add_xattrs(planned, inode, path, sharing)
        if isinstance(node, Directory):
            inode.links = _directory_links(node)
        else:
            inode.links += 1
            if inode.links > _MAX_LINKS:
                raise TreeRefused(path, f"a file of ext4 has at most {_MAX_LINKS} names")
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


def _add_xattrs(planned: Plan, inode: Inode, path: bytes, sharing: dict[bytes, XattrBlock]) -> None:
    if not inode.node.xattrs:
        return
    inode.xattr_body, content = encode_xattrs(path, inode.node.xattrs)
    if content is None:
        return
    block = sharing.get(content)
    if block is None or block.users == _MAX_XATTR_USERS:
        block = sharing[content] = XattrBlock(content)
        planned.xattr_blocks.append(block)
    block.users += 1
    inode.xattr_block = block
