"""What our readers find on a disk, as the plain values of support.trees."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import replace
from pathlib import Path

from support.trees import BLOCK, Found, with_links

from builder.disk import FILESYSTEMS
from builder.disk.reading import Reader, walk
from builder.tree.found import Inode

KINDS = {
    stat.S_IFDIR: "directory",
    stat.S_IFREG: "file",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "character",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}


def read(format: str, image: Path) -> dict[bytes, Found]:
    """Everything that our reader of a format finds on a disk; the root is `.`, and mke2fs' `lost+found` is left out."""
    fd = os.open(image, os.O_RDONLY)
    try:
        return read_all(FILESYSTEMS[format].reader(fd))
    finally:
        os.close(fd)


def read_all(reader: Reader) -> dict[bytes, Found]:
    found: dict[bytes, Found] = {}
    numbers: dict[bytes, int] = {}
    links: dict[bytes, int] = {}
    for each in walk(reader):
        if reader.is_own(each.path, each.inode):
            continue
        path = each.path or b"."
        found[path] = seen(each.inode)
        numbers[path] = each.inode.number
        if each.inode.links > 1 or not each.inode.is_directory:
            links[path] = each.inode.links
    return {path: replace(one, links=links.get(path, one.links)) for path, one in with_links(found, numbers).items()}


def seen(inode: Inode) -> Found:
    """What there is to say of an inode."""
    mode = stat.S_IMODE(inode.mode)
    found = Found(KINDS[stat.S_IFMT(inode.mode)], mode, inode.uid, inode.gid, inode.mtime_ns, dict(inode.xattrs))
    size = len(inode.target) if stat.S_ISLNK(inode.mode) else inode.size
    digest = content_digest(inode) if inode.is_file else ""
    return replace(found, size=size, digest=digest, target=inode.target, device=inode.device)


def content_digest(inode: Inode) -> str:
    """Hash content as support.trees does: the blocks that are not all zeros, with their offsets."""
    blocks: dict[int, bytearray] = {}
    for offset, data in inode.data():
        done = 0
        while done < len(data):
            start, inside = divmod(offset + done, BLOCK)
            part = data[done : done + BLOCK - inside]
            block = blocks.setdefault(start * BLOCK, bytearray(min(BLOCK, inode.size - start * BLOCK)))
            block[inside : inside + len(part)] = part
            done += len(part)
    hashed = hashlib.sha256()
    for position, block in sorted(blocks.items()):
        if block.count(0) != len(block):
            hashed.update(b"%d:" % position + block)
    return hashed.hexdigest()
