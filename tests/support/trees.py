"""Trees as plain values that compare exactly: a tree in memory, a directory on disk, a mounted file system.

`expected(tree, spool)` says what `scan(directory)` must find wherever that tree was written.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from builder.tree.nodes import Content, Device, Directory, Fifo, File, Node, Symlink
from builder.tree.spool import Spool
from builder.tree.tree import Tree

BLOCK = 4096


@dataclass(frozen=True, slots=True)
class Found:
    """One name of a tree with everything a guest can see of it.

    `digest` hashes a file's blocks that are not all zero with their offsets, so holes cost nothing and count
    as the zeros they are. `same_as` is the first name, in byte order, of the same inode, and `links` the
    number of its names, as the file system says; a directory has one, `.`, and `..` in each directory below, also
    where a file system does not count them. A symlink's mode is always 0777, as in Linux.
    """

    kind: str
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    xattrs: dict[bytes, bytes] = field(default_factory=dict)
    size: int = 0
    digest: str = ""
    target: bytes = b""
    device: tuple[int, int] = (0, 0)
    links: int = 1
    same_as: bytes = b""


def paths(tree: Tree) -> list[str]:
    """Every path of a tree, parents first, siblings in byte order; a directory ends in `/`."""
    return [os.fsdecode(path) + ("/" if isinstance(node, Directory) else "") for path, node in tree.walk()]


def listing(tree: Tree) -> list[str]:
    """Every path with its kind, and what tells two of that kind apart, one line each; see `line`."""
    names: dict[int, bytes] = {}
    return [line(path, node, names.setdefault(id(node), path)) for path, node in tree.walk()]


def line(path: bytes, node: Node, first: bytes) -> str:
    """One line of a listing: `etc/`, `f (7 bytes at 4096)`, `s -> t`, `c 1:3`, `p fifo`, `other = f`."""
    name = os.fsdecode(path)
    if isinstance(node, Directory):
        return name + "/"
    if first != path:
        return f"{name} = {os.fsdecode(first)}"
    match node:
        case File(content=content):
            return f"{name} ({content.size} bytes at {content.offset})"
        case Symlink(target=target):
            return f"{name} -> {os.fsdecode(target)}"
        case Device(block=block, major=major, minor=minor):
            return f"{name} {'block' if block else 'character'} {major}:{minor}"
        case _:
            return f"{name} fifo"


def expected(tree: Tree, spool: Spool) -> dict[bytes, Found]:
    """What `scan` finds of a tree that was written faithfully; the root is `.`."""
    found = {b".": _of_node(tree.root, spool)}
    nodes: dict[bytes, int] = {b".": id(tree.root)}
    known: dict[int, Found] = {}
    for path, node in tree.walk():
        nodes[path] = id(node)
        found[path] = known.setdefault(id(node), _of_node(node, spool))
    return with_links(found, nodes)


def scan(directory: Path) -> dict[bytes, Found]:
    """List a real directory, however deep, without following anything. SELinux labels are the host's."""
    found: dict[bytes, Found] = {}
    nodes: dict[bytes, tuple[int, int]] = {}
    links: dict[bytes, int] = {}
    for path, parent, name, status in _walk(directory):
        nodes[path] = (status.st_dev, status.st_ino)
        found[path] = _of_file(parent, name, status)
        # A directory with 1 is on a file system that does not count them, or not so many.
        if status.st_nlink > 1 or not stat.S_ISDIR(status.st_mode):
            links[path] = status.st_nlink
    return {path: replace(one, links=links.get(path, one.links)) for path, one in with_links(found, nodes).items()}


def differences(actual: dict[bytes, Found], wanted: dict[bytes, Found]) -> list[str]:
    """One line per path that differs: what is missing, what is too much, and each field with both values."""
    lines = []
    for path in sorted(actual.keys() | wanted.keys()):
        one, other = actual.get(path), wanted.get(path)
        if one is None or other is None:
            lines.append(f"{os.fsdecode(path)!r}: {'missing' if one is None else 'should not be there'}")
        elif one != other:
            fields = [
                f"{name} is {getattr(one, name)!r}, should be {getattr(other, name)!r}"
                for name in Found.__slots__
                if getattr(one, name) != getattr(other, name)
            ]
            lines.append(f"{os.fsdecode(path)!r}: {'; '.join(fields)}")
    return lines


def _of_node(node: Node, spool: Spool) -> Found:
    mode = 0o777 if isinstance(node, Symlink) else node.mode
    found = Found("", mode, node.uid, node.gid, node.mtime_ns, dict(node.xattrs))
    match node:
        case Directory():
            return replace(found, kind="directory")
        case File(content=content):
            digest = _digest(_spooled(spool, content))
            return replace(found, kind="file", size=content.size, digest=digest)
        case Symlink(target=target):
            return replace(found, kind="symlink", size=len(target), target=target)
        case Device(block=block, major=major, minor=minor):
            return replace(found, kind="block" if block else "character", device=(major, minor))
        case Fifo():
            return replace(found, kind="fifo")


def _of_file(parent: int, name: bytes, status: os.stat_result) -> Found:
    mode = status.st_mode
    # By way of the open parent, so that neither depth nor a symlink matters; these calls have no dir_fd.
    here = b"/proc/self/fd/%d/%s" % (parent, name)
    xattrs = {
        key.encode("utf-8", "surrogateescape"): os.getxattr(here, key, follow_symlinks=False)
        for key in os.listxattr(here, follow_symlinks=False)
        if key != "security.selinux"
    }
    found = Found("", stat.S_IMODE(mode), status.st_uid, status.st_gid, status.st_mtime_ns, xattrs)
    if stat.S_ISDIR(mode):
        return replace(found, kind="directory")
    if stat.S_ISREG(mode):
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=parent)
        try:
            return replace(found, kind="file", size=status.st_size, digest=_digest(_read(fd, 0, status.st_size)))
        finally:
            os.close(fd)
    if stat.S_ISLNK(mode):
        return replace(found, kind="symlink", size=status.st_size, target=os.readlink(name, dir_fd=parent))
    if stat.S_ISFIFO(mode):
        return replace(found, kind="fifo")
    kind = "block" if stat.S_ISBLK(mode) else "character" if stat.S_ISCHR(mode) else "socket"
    return replace(found, kind=kind, device=(os.major(status.st_rdev), os.minor(status.st_rdev)))


def _walk(directory: Path) -> Iterator[tuple[bytes, int, bytes, os.stat_result]]:
    """Yield (path, descriptor of the parent, name, status) with one descriptor open, going up by `..`."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    current = os.open(directory, flags & ~os.O_NOFOLLOW)
    try:
        yield b".", current, b".", os.stat(current)
        stack = [(b"", sorted(map(os.fsencode, os.listdir(current)), reverse=True))]
        while stack:
            prefix, names = stack[-1]
            if not names:
                stack.pop()
                current = _step(current, b"..", flags) if stack else current
                continue
            name = names.pop()
            path = prefix + name
            status = os.stat(name, dir_fd=current, follow_symlinks=False)
            yield path, current, name, status
            if stat.S_ISDIR(status.st_mode):
                current = _step(current, name, flags)
                stack.append((path + b"/", sorted(map(os.fsencode, os.listdir(current)), reverse=True)))
    finally:
        os.close(current)


def _step(current: int, name: bytes, flags: int) -> int:
    there = os.open(name, flags, dir_fd=current)
    os.close(current)
    return there


def with_links(found: dict[bytes, Found], nodes: dict[bytes, int] | dict[bytes, tuple[int, int]]) -> dict[bytes, Found]:
    names: dict[object, list[bytes]] = {}
    below: Counter[bytes] = Counter()
    for path in sorted(found):
        names.setdefault(nodes[path], []).append(path)
        if found[path].kind == "directory" and path != b".":
            below[os.path.dirname(path) or b"."] += 1
    return {
        path: replace(
            one,
            same_as=names[nodes[path]][0],
            links=2 + below[path] if one.kind == "directory" else len(names[nodes[path]]),
        )
        for path, one in found.items()
    }


def _spooled(spool: Spool, content: Content) -> Iterator[tuple[int, bytes]]:
    for start, length in spool.data(content):
        for position in range(start, start + length, BLOCK):
            yield position - content.offset, spool.read_at(position, min(BLOCK, start + length - position))


def _read(fd: int, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Yield (position, block) of what is not a hole, in blocks counted from `start`."""
    position = start
    while position < end:
        try:
            position = max(position, os.lseek(fd, position, os.SEEK_DATA))
        except OSError:  # ENXIO: only holes are left
            return
        position -= (position - start) % BLOCK
        stop = min(os.lseek(fd, position, os.SEEK_HOLE), end)
        if stop <= position:
            stop = min(position + BLOCK, end)
        while position < stop:
            yield position, os.pread(fd, min(BLOCK, end - position), position)
            position += BLOCK


def _digest(blocks: Iterator[tuple[int, bytes]]) -> str:
    hashed = hashlib.sha256()
    for position, block in blocks:
        if block.count(0) != len(block):
            hashed.update(b"%d:" % position + block)
    return hashed.hexdigest()
