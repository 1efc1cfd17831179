"""How a disk is read without mounting it: one interface for the readers of all formats, and the walk over it.

Readers share no code with what writes the formats, so that no mistake of a writer can hide itself. They take the bytes
for anybody's: each number in them may lie.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Protocol

from builder.errors import BuilderError, FailedAt, ImageRefused
from builder.exact import read_up_to
from builder.files.holes import written_pieces
from builder.limits import Limits
from builder.linux import MAX_NAME, MAX_PATH
from builder.tree.found import Found, Inode, Stretches
from builder.words import quoted

# How much of a file's content is read at once, in bytes.
CHUNK = 1 << 20
# No tree has more, in bytes: all directories together; extended attributes of one inode, of which erofs holds as many,
# and of all inodes. Images have no more than Limits.max_metadata.
MOST_DIRECTORIES = 1 << 34
_MOST_OF_INODE, _MOST_ATTRIBUTES = 1 << 24, 1 << 30
# In how many bytes files with several names are kept, with their attributes; those of others count with each name.
_MOST_KEPT = 1 << 26
# What it costs to read an attribute, as so many bytes of it, and to keep an inode that has some.
_ATTRIBUTE, _INODE = 64, 512


class DiskUnreadable(BuilderError):
    """A disk, or what says what it was made of, cannot be read, or changes while it is."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class DiskMalformed(FailedAt, ImageRefused):
    """A disk cannot be read: `where` names the structure in it, as `inode 12`."""


@dataclass(frozen=True, slots=True)
class Volume:
    """The bytes of a disk: `size` is how many there are."""

    fd: int
    size: int

    @classmethod
    def of(cls, fd: int) -> Volume:
        """Take a regular file or a block device, open for reading."""
        return cls(fd, os.lseek(fd, 0, os.SEEK_END))

    def read(self, position: int, size: int, where: str) -> bytes:
        """Read so many bytes; raises DiskMalformed where the disk has them not. `where` names what is read."""
        self.check(position, size, where)
        data = read_up_to(self.fd, size, position)
        if len(data) < size:
            raise DiskMalformed(where, "the disk became shorter while it was read")
        return data

    def stretches(self, start: int, position: int, size: int, where: str) -> Stretches:
        """Read so many bytes as a file's from `start` on; what is a hole of the disk's own file is none of them."""
        for begin, length in written_pieces(self.fd, position + size, position):
            yield start + begin - position, self.read(begin, length, where)

    def check(self, position: int, size: int, where: str) -> None:
        """Raise DiskMalformed if not all of these bytes are on the disk."""
        if position < 0 or position + size > self.size:
            raise DiskMalformed(where, "leads out of the disk")


@dataclass(frozen=True, slots=True)
class Entry:
    """What a directory says of a name: the number of its inode, and its type as in a mode; 0: nothing."""

    name: bytes
    number: int
    type: int = 0


# FT_… of directories' entries (include/linux/fs_types.h).
_TYPES = (0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFLNK)
_NO_TYPE = -1
# The types of inodes, as in a mode.
KINDS = frozenset(_TYPES[1:])


def type_of(number: int) -> int:
    """Tell which type of file the number in an entry of a directory stands for, as in a mode; 0 where it says nothing.

    A number that stands for none is no inode's.
    """
    return _TYPES[number] if number < len(_TYPES) else _NO_TYPE


def device_of(number: int) -> tuple[int, int]:
    """Read a device's major and minor number (new_decode_dev)."""
    return number >> 8 & 0xFFF, number & 0xFF | number >> 12 & 0xFFF00


class Reader(Protocol):
    """Reads one file system. All methods raise DiskMalformed, and OSError for a device that fails."""

    root: int

    def inode(self, number: int) -> Inode:
        """Read an inode."""
        ...

    def entries(self, directory: Inode) -> Iterator[Entry]:
        """Yield each entry of a directory in any order, with `.` and `..` where they are on the disk."""
        ...

    def holds(self, mtime_ns: int) -> int:
        """Tell what becomes of a time, in nanoseconds since 1970, that this file system was to hold."""
        ...

    def is_own(self, path: bytes, inode: Inode) -> bool:
        """Tell whether a name was put there by what made the file system and not by anybody's tree: `lost+found`."""
        ...


def gathered(xattrs: Iterator[tuple[bytes, bytes]], where: str) -> dict[bytes, bytes]:
    """Put the attributes of an inode together; raises DiskMalformed for more than anything has."""
    found: dict[bytes, bytes] = {}
    left = _MOST_OF_INODE
    for name, value in xattrs:
        left -= _ATTRIBUTE + len(name) + len(value)
        if left < 0:
            raise DiskMalformed(where, f"has more than {_MOST_OF_INODE >> 20} MiB of extended attributes")
        found[name] = value
    return found


class _Inodes:
    """Reads the inodes of names; one with attributes and several names is read and counted once, while there is room.

    Raises DiskMalformed for more than a GiB of attributes.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._left = _MOST_ATTRIBUTES
        self._room = _MOST_KEPT
        self._kept: dict[int, Inode] = {}

    def read(self, number: int) -> Inode:
        if (kept := self._kept.get(number)) is not None:
            return kept
        inode = self._reader.inode(number)
        size = sum(_ATTRIBUTE + len(key) + len(value) for key, value in inode.xattrs.items())
        self._left -= size
        if self._left < 0:
            raise DiskMalformed("the tree", f"has more than {_MOST_ATTRIBUTES >> 30} GiB of extended attributes")
        if size and inode.links > 1 and not inode.is_directory and _INODE + size <= self._room:
            self._kept[number] = inode
            self._room -= _INODE + size
        return inode


def walk(reader: Reader, max_entries: int = Limits().max_entries) -> Iterator[Found]:
    """Yield every name of a file system, the root first, in the order of Tree.walk.

    Raises DiskMalformed for what is no tree: a directory with two names, a name twice, one that leads elsewhere; for
    more than `max_entries` names, or a GiB of attributes; and for a path that is longer than Linux takes.
    """
    root = reader.inode(reader.root)
    if not root.is_directory:
        raise DiskMalformed("the root", "is no directory")
    yield Found(b"", root)
    seen = {root.number}
    left = max_entries
    names = _sorted(reader, root, root.number, b"", left)
    # Each counts as soon as it is read: all those of the directories on the way down are in memory.
    left -= len(names)
    stack = [(b"", root.number, iter(names))]
    inodes = _Inodes(reader)
    while stack:
        prefix, above, siblings = stack[-1]
        for entry in siblings:
            path = prefix + entry.name
            # No image has them.
            if len(path) > MAX_PATH:
                raise DiskMalformed(_shown(path), f"is a path of more than {MAX_PATH} bytes")
            inode = inodes.read(entry.number)
            if entry.type not in (0, stat.S_IFMT(inode.mode)):
                raise DiskMalformed(_shown(path), "is of another type than its directory says")
            yield Found(path, inode)
            if inode.is_directory:
                if entry.number in seen:
                    raise DiskMalformed(_shown(path), "is a directory that has another name, too")
                seen.add(entry.number)
                names = _sorted(reader, inode, above, path, left)
                left -= len(names)
                stack.append((path + b"/", entry.number, iter(names)))
                break
        else:
            stack.pop()


def _sorted(reader: Reader, directory: Inode, above: int, path: bytes, most: int) -> list[Entry]:
    """Read a directory; see that its names are some, each once, no more than `most`; and where its dots lead."""
    dots = {b".": directory.number, b"..": above}
    entries: dict[bytes, Entry] = {}
    for entry in reader.entries(directory):
        name = entry.name
        where = f"{_shown(path)}: its entry {quoted(name)}"
        if dots.get(name, entry.number) != entry.number:
            raise DiskMalformed(where, "leads elsewhere")
        if name in dots and entry.type not in (0, stat.S_IFDIR):
            raise DiskMalformed(where, "is said to be no directory")
        if not 0 < len(name) <= MAX_NAME or b"/" in name or b"\0" in name:
            raise DiskMalformed(where, "is no name that Linux knows")
        if name in entries:
            raise DiskMalformed(where, "is there twice")
        entries[name] = entry
        if len(entries) > most and len(entries.keys() - dots.keys()) > most:
            raise DiskMalformed("the tree", "has more names than --max-entries allows")
    return sorted((entry for name, entry in entries.items() if name not in dots), key=attrgetter("name"))


def _shown(path: bytes) -> str:
    return quoted(b"/" + path)
