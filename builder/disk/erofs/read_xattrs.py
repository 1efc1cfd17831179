"""Extended attributes of erofs inodes: their own, and those that many share.

Kernel: fs/erofs/erofs_fs.h, xattr.c.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from struct import Struct, unpack_from

from builder.disk.erofs.name_filter import is_hidden
from builder.disk.reading import DiskMalformed

_HEADER_SIZE = 12
_SHARED_COUNT = 4
# Length of the name, its prefix, size of the value.
_ENTRY = Struct("<BBH")
_LONG_PREFIX = 0x80
# What mkfs.erofs --root-xattr-isize keeps for later, and Linux passes over.
_ROOM = bytes(_ENTRY.size)

PREFIXES = {
    1: b"user.",
    2: b"system.posix_acl_access",
    3: b"system.posix_acl_default",
    4: b"trusted.",
    5: b"lustre.",
    6: b"security.",
}

# Reads so many bytes at a position of the disk.
Read = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class XattrReader:
    """Reads the attributes of one inode: `shared` is where shared ones begin, `prefixes` the file system's own.

    With `has_filter` the inode says which it has not, and they are left out, as by getxattr(2).
    """

    where: str
    read: Read
    shared: int
    prefixes: tuple[bytes, ...]
    has_filter: bool = False

    def xattrs(self, area: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the name and the value of each attribute in what an inode has behind its fields."""
        name_filter = unpack_from("<I", area)[0] if area and self.has_filter else 0
        for name, value in self._all(area):
            if not name_filter or not is_hidden(name_filter, name, PREFIXES):
                yield name, value

    def _all(self, area: bytes) -> Iterator[tuple[bytes, bytes]]:
        if not area:
            return
        start = _HEADER_SIZE + 4 * area[_SHARED_COUNT]
        if start > len(area):
            raise self._malformed()
        for offset in range(_HEADER_SIZE, start, 4):
            position = self.shared + 4 * unpack_from("<I", area, offset)[0]
            length, _, size = _ENTRY.unpack(self.read(position, _ENTRY.size))
            yield self._entry(self.read(position, _ENTRY.size + length + size), 0)[0]
        while start + _ENTRY.size <= len(area):
            if area.startswith(_ROOM, start):
                start += _ENTRY.size
                continue
            entry, start = self._entry(area, start)
            yield entry

    def _entry(self, area: bytes, start: int) -> tuple[tuple[bytes, bytes], int]:
        """Return the name and the value of an attribute, and where the next one may begin."""
        length, prefix, size = _ENTRY.unpack_from(area, start)
        name = start + _ENTRY.size
        end = name + length + size
        if end > len(area):
            raise self._malformed()
        return (self._prefix(prefix) + area[name : name + length], area[name + length : end]), -(-end // 4) * 4

    def _prefix(self, number: int) -> bytes:
        if number & _LONG_PREFIX and number & ~_LONG_PREFIX < len(self.prefixes):
            return self.prefixes[number & ~_LONG_PREFIX]
        if number not in PREFIXES:
            raise DiskMalformed(self.where, f"has an extended attribute with a prefix that is not known ({number})")
        return PREFIXES[number]

    def _malformed(self) -> DiskMalformed:
        return DiskMalformed(self.where, "an extended attribute leads out of its place")


def long_prefix(item: bytes) -> bytes:
    """Read a prefix of the file system's own: a known one by its number, and what follows it."""
    return PREFIXES.get(item[0], b"") + item[1:] if item else b""
