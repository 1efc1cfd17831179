"""Extended attributes of ext4 inodes, as getxattr(2) gives them.

Kernel documentation, filesystems/ext4: attributes; of access control lists, fs/ext4/acl.h.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from struct import Struct, pack, unpack_from

from builder.disk.ext4.read_superblock import Superblock
from builder.disk.reading import DiskMalformed, Volume
from builder.words import quoted

_MAGIC = b"\0\0\x02\xea"
_BLOCK_HEADER_SIZE = 32
# Length of the name, its prefix; offset of the value, inode of the value, its size; hash.
_ENTRY = Struct("<BBHIII")
_MAX_VALUE = 65536

_PREFIXES = {
    1: b"user.",
    2: b"system.posix_acl_access",
    3: b"system.posix_acl_default",
    4: b"trusted.",
    6: b"security.",
    7: b"system.",
    8: b"system.richacl",
}
_ACL_PREFIXES = (2, 3)
# Where the descriptor of a file with fs-verity is. No getxattr(2) gives it: what there is to see is the inode's flag.
_VERITY_PREFIX = 11
_ACL_USER, _ACL_GROUP = 2, 8
_NO_ID = 0xFFFFFFFF

# What an inode with inline data keeps of it among its attributes; nobody is shown it.
INLINE_DATA = b"system.data"

ReadValue = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class XattrReader:
    """Reads the attributes of one inode; `read_value(inode, size)` reads a value that is in an inode of its own."""

    volume: Volume
    superblock: Superblock
    where: str
    read_value: ReadValue

    def in_inode(self, area: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the name and the value of the attributes in what an inode has behind its fields."""
        if area[:4] == _MAGIC:
            yield from self._entries(area[4:], 0)

    def in_block(self, block: int) -> Iterator[tuple[bytes, bytes]]:
        """Yield the name and the value of the attributes in a block."""
        size = self.superblock.block_size
        if not self.superblock.first_block < block < self.superblock.blocks:
            raise self._malformed(f"the block {block} of its extended attributes is not one of the file system's")
        data = self.volume.read(block * size, size, self.where)
        if data[:4] != _MAGIC or unpack_from("<I", data, 8)[0] != 1:
            raise self._malformed("has extended attributes in a block that is none of those")
        if self.superblock.seed is not None:
            expected = self.superblock.sum(pack("<Q", block), data[:16], bytes(4), data[20:])
            if expected != unpack_from("<I", data, 16)[0]:
                raise self._malformed("the checksum of its extended attributes is wrong")
        yield from self._entries(data, _BLOCK_HEADER_SIZE)

    def _entries(self, area: bytes, position: int) -> Iterator[tuple[bytes, bytes]]:
        """Go through entries; values are counted from the beginning of `area`. An empty one ends them."""
        while position + 4 <= len(area) and area[position : position + 4] != bytes(4):
            if position + _ENTRY.size > len(area):
                raise self._malformed("an extended attribute leads out of its place")
            length, prefix, offset, inode, size, _ = _ENTRY.unpack_from(area, position)
            start = position + _ENTRY.size
            position = start + -(-length // 4) * 4
            if position > len(area) or size > _MAX_VALUE or (not inode and offset + size > len(area)):
                raise self._malformed("an extended attribute leads out of its place")
            if prefix == _VERITY_PREFIX:
                continue
            if prefix not in _PREFIXES:
                raise self._malformed(f"has an extended attribute with a prefix of which nothing is known ({prefix})")
            name = _PREFIXES[prefix] + area[start : start + length]
            value = self.read_value(inode, size) if inode else area[offset : offset + size]
            yield name, self._acl(name, value) if prefix in _ACL_PREFIXES else value

    def _acl(self, name: bytes, value: bytes) -> bytes:
        """Give an access control list, kept as version 1, as version 2, in which all entries have an id."""
        if value[:4] != b"\x01\0\0\0":
            raise self._malformed(f"{quoted(name)} is no access control list")
        entries, position = [pack("<I", 2)], 4
        while position < len(value):
            has_id = value[position] in (_ACL_USER, _ACL_GROUP)
            part = value[position : position + (8 if has_id else 4)]
            if len(part) < (8 if has_id else 4):
                raise self._malformed(f"{quoted(name)} is no access control list")
            entries.append(part if has_id else part + pack("<I", _NO_ID))
            position += len(part)
        return b"".join(entries)

    def _malformed(self, reason: str) -> DiskMalformed:
        return DiskMalformed(self.where, reason)
