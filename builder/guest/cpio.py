"""A "newc" cpio archive, as the kernel unpacks it into its initramfs (buffer-format.rst)."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Member:
    """A file, directory or device node of the archive: `mode` is the whole st_mode, `device` (major, minor)."""

    name: str
    mode: int
    content: bytes = b""
    device: tuple[int, int] = (0, 0)


def directory(name: str) -> Member:
    """Return a directory of mode 0755."""
    return Member(name, stat.S_IFDIR | 0o755)


def file(name: str, content: bytes, mode: int = 0o644) -> Member:
    """Return a regular file."""
    return Member(name, stat.S_IFREG | mode, content)


def cpio(members: Iterable[Member]) -> Iterator[bytes]:
    """Yield the archive in pieces; everything in it is root's and of 1970."""
    inode = 0
    for inode, member in enumerate(members, start=1):
        yield from _encoded(member, inode)
    yield from _encoded(Member("TRAILER!!!", 0), inode + 1)


def _encoded(member: Member, inode: int) -> Iterator[bytes]:
    name, size = member.name.encode() + b"\0", len(member.content)
    #         ino    mode         uid gid links mtime size  dev   rdev            name       check
    fields = (inode, member.mode, 0, 0, 1, 0, size, 0, 0, *member.device, len(name), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    yield header + bytes(-len(header) % 4)
    yield member.content + bytes(-size % 4)
