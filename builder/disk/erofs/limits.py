"""What erofs can hold of a tree."""

from __future__ import annotations

from itertools import chain

from builder.disk.erofs.layout import encode_xattrs
from builder.disk.erofs.plan import Plan
from builder.disk.numbering import split_xattr
from builder.errors import TreeRefused
from builder.linux import MAX_MAJOR, MAX_MINOR, MAX_NAME, MAX_PATH
from builder.tree.nodes import Device, File, Node, Symlink
from builder.tree.tree import Tree
from builder.words import quoted

_MAX_VALUE = 0xFFFF
_MAX_XATTRS = 12 + 4 * (0xFFFF - 1)
_MAX_SECONDS = 1 << 63
_MAX_ID = 0xFFFFFFFF
# Blocks have 32-bit addresses.
_MAX_SIZE = 0xFFFFFFFF * 4096

# mkfs.erofs up to 1.8 garbles an extended tar header of more than 32 KiB.
_MAX_RECORD = 32_000


def check_tree(tree: Tree) -> None:
    """Refuse what erofs cannot hold; raises TreeRefused with the path and the reason."""
    for path, node in chain([(b"", tree.root)], tree.walk()):
        if len(path.rpartition(b"/")[2]) > MAX_NAME:
            raise TreeRefused(path, f"a name has at most {MAX_NAME} bytes")
        seconds = node.mtime_ns // 10**9
        if not -_MAX_SECONDS <= seconds < _MAX_SECONDS:
            raise TreeRefused(path, f"its time, {seconds} seconds since 1970, does not fit 64 bits")
        if not (0 <= node.uid <= _MAX_ID and 0 <= node.gid <= _MAX_ID):
            raise TreeRefused(path, f"its owner {node.uid}:{node.gid} does not fit 32 bits")
        if node.xattrs:
            _check_xattrs(path, node)
        match node:
            case Symlink() if not 0 < len(node.target) <= MAX_PATH:
                raise TreeRefused(path, f"a symlink's target has 1 to {MAX_PATH} bytes, not {len(node.target)}")
            case Device() if not (0 <= node.major <= MAX_MAJOR and 0 <= node.minor <= MAX_MINOR):
                raise TreeRefused(path, f"device numbers {node.major}:{node.minor} do not fit 12 and 20 bits")
            case File() if node.content.size > _MAX_SIZE:
                raise TreeRefused(path, f"erofs holds files of up to {_MAX_SIZE} bytes, not {node.content.size}")


def _check_xattrs(path: bytes, node: Node) -> None:
    for name, data in node.xattrs.items():
        index, suffix = split_xattr(name)
        if not index or (not suffix and index not in (2, 3)):
            raise TreeRefused(path, f"Linux has no extended attribute {quoted(name)}")
        if len(name) > MAX_NAME or len(data) > _MAX_VALUE:
            raise TreeRefused(path, f"extended attribute {quoted(name)} of {len(data)} bytes is too long for erofs")
    if len(encode_xattrs(node.xattrs)) > _MAX_XATTRS:
        raise TreeRefused(path, f"its extended attributes take more than {_MAX_XATTRS} bytes")


def fits_tar(planned: Plan) -> bool:
    """Tell whether mkfs.erofs up to 1.8 reads what was planned from a tar faithfully."""
    nodes = chain([planned.root], planned.packed)
    return all(len(encode_xattrs(node.xattrs)) <= _MAX_RECORD for node in nodes if node.xattrs)
