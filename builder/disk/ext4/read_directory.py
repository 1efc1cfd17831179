"""The entries of ext4 directories, block by block: what a hash tree adds looks like entries that name nothing.

Kernel documentation, filesystems/ext4: directory; checksums of its kinds of blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct, unpack_from

from builder.disk.ext4.read_superblock import Superblock
from builder.disk.reading import DiskMalformed, Entry, type_of

# Inode, length of the entry, of the name, type of the file.
_ENTRY = Struct("<IHBB")
_TAIL_SIZE = 12
_ROOT = 2
_TAIL = bytes(4) + b"\x0c\0\0\xde"
# Where the hash tree's own header is: behind `.` and `..` and eight bytes of facts, or behind one empty entry.
_IN_ROOT, _IN_NODE = 32, 8


@dataclass(frozen=True, slots=True)
class DirectoryReader:
    """Reads the directory that is inode `number`; `identity` is what checksums of its blocks begin with."""

    superblock: Superblock
    where: str
    identity: bytes
    indexed: bool

    def entries(self, block: bytes, *, has_sum: bool = True) -> Iterator[Entry]:
        """Yield what a block names; raises DiskMalformed."""
        if has_sum and self.superblock.seed is not None:
            self._check_sum(block)
        position = 0
        while position < len(block):
            if position + _ENTRY.size > len(block):
                raise self._malformed("an entry leads out of its block")
            inode, size, length, kind = _ENTRY.unpack_from(block, position)
            if size in (0, 0xFFFF) and len(block) == 65536:
                size = 65536
            if size % 4 or size < _ENTRY.size + length or position + size > len(block):
                raise self._malformed("an entry leads out of its block")
            name = block[position + _ENTRY.size : position + _ENTRY.size + length]
            position += size
            if inode:
                self._check(inode)
                yield Entry(name, inode, type_of(kind) if self.superblock.has_file_types else 0)

    def _check(self, inode: int) -> None:
        if inode != _ROOT and not self.superblock.first_inode <= inode <= self.superblock.inodes:
            raise self._malformed(f"names inode {inode}, which is none of a file")

    def _check_sum(self, block: bytes) -> None:
        start = self._hash_tree(block)
        if start:
            covered, stored = self._hash_tree_sum(block, start)
        elif block[-_TAIL_SIZE:-4] == _TAIL:
            covered, stored = [block[:-_TAIL_SIZE]], unpack_from("<I", block, len(block) - 4)[0]
        else:
            raise self._malformed("a block of it has no checksum")
        if self.superblock.sum(self.identity, *covered) != stored:
            raise self._malformed("the checksum of one of its blocks is wrong")

    def _hash_tree(self, block: bytes) -> int:
        """Tell where in a block the hash tree's own header is; 0: nowhere.

        The last entry of such a block goes to its end, where that of others leaves room for a checksum.
        """
        first, second = unpack_from("<H", block, 4)[0], unpack_from("<H", block, 16)[0]
        if self.indexed and first in (0, 0xFFFF, len(block)):
            return _IN_NODE
        return _IN_ROOT if self.indexed and (first, second) == (12, len(block) - 12) else 0

    def _hash_tree_sum(self, block: bytes, start: int) -> tuple[list[bytes], int]:
        """Return what the checksum in a block of a hash tree covers, and that checksum."""
        room, count = unpack_from("<HH", block, start)
        tail = start + room * 8
        if count > room or tail + 8 > len(block):
            raise self._malformed("a block of it has no checksum")
        return [block[: start + count * 8], block[tail : tail + 4], bytes(4)], unpack_from("<I", block, tail + 4)[0]

    def _malformed(self, reason: str) -> DiskMalformed:
        return DiskMalformed(self.where, reason)
