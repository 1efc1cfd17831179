"""Pack trees into ext4 images, and let e2fsck judge them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from builder.disk.ext4.pack import Ext4
from builder.disk.filesystem import DiskFacts, DiskOptions
from builder.events import Listener, ignore
from builder.tool import find_tool
from builder.tree.nodes import Directory, File, Node
from builder.tree.spool import Spool
from builder.tree.tree import Tree

OPTIONS = DiskOptions(seed=b"s" * 32)


def tree_of(**children: Node) -> Tree:
    """A tree with these names at its top."""
    return Tree(Directory(children={name.encode(): node for name, node in children.items()}))


def pack_ext4(
    tree: Tree, spool: Spool, image: Path, options: DiskOptions = OPTIONS, listen: Listener = ignore
) -> DiskFacts:
    """Pack a tree into `image`, beside which scratch files are left, and require that e2fsck finds no fault."""
    scratch = image.with_suffix(".scratch")
    scratch.mkdir()
    facts = Ext4().pack(tree, spool, options, scratch, image, listen)
    check_ext4(image)
    return facts


def check_ext4(image: Path) -> None:
    """Require that e2fsck finds no fault."""
    checked = subprocess.run([find_tool("e2fsck"), "-fn", image], capture_output=True, text=True, check=False)
    assert (checked.returncode, "WARNING" in checked.stdout.upper()) == (0, False), checked.stdout + checked.stderr


def dumpe2fs(image: Path) -> dict[str, str]:
    """What dumpe2fs says of the superblock: `Free blocks`, `Filesystem UUID`, `Inode size`…"""
    printed = subprocess.run([find_tool("dumpe2fs"), "-h", image], capture_output=True, text=True, check=True).stdout
    return {key: value.strip() for key, _, value in (line.partition(":") for line in printed.splitlines()) if value}


def filled(spool: Spool, size: int, byte: bytes = b"x") -> File:
    """A file of `size` times the same byte."""
    pieces = ((start, byte * min(65536, size - start)) for start in range(0, size, 65536))
    return File(0o644, content=spool.add(size, pieces))
