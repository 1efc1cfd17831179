"""Where the content of an ext4 inode is: its extents, or the block map of ext2 and ext3.

Kernel documentation, filesystems/ext4: ifork.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct, iter_unpack, pack, unpack_from

from builder.disk.ext4.read_superblock import Superblock
from builder.disk.reading import DiskMalformed, Volume

# Magic, entries, room, depth; generation.
_HEADER = Struct("<HHHHI")
_MAGIC = 0xF30A
_ENTRY_SIZE = 12
_LEAF, _INDEX = Struct("<IHHI"), Struct("<IIHxx")
_MAX_DEPTH = 5
# Of an extent that is longer nothing was written yet: it reads as zeros.
_MAX_WRITTEN = 32768
_DIRECT = 12


@dataclass(frozen=True, slots=True)
class Run:
    """So many blocks of a file, from the block `logical` of it on: they begin with block `physical` of the disk."""

    logical: int
    physical: int
    count: int


@dataclass(slots=True)
class BlockMap:
    """The map of one inode: its 60 bytes in `root`; `identity` is what checksums of its blocks begin with."""

    volume: Volume
    superblock: Superblock
    where: str
    root: bytes
    identity: bytes
    # How many blocks of the map itself are read at most, as one that leads nowhere may have as many as the disk, for
    # each name; and how many were.
    nodes: int
    spent: int = 0
    # Everything it leads to is somewhere on the disk, and there once: whoever says otherwise would never end.
    left: int = 0

    def runs(self, has_extents: bool) -> Iterator[Run]:
        """Yield where the content is, in order; what is in no run is a hole. Raises DiskMalformed."""
        self.left = self.superblock.blocks
        end = 0
        for run in self._extents(self.root, None) if has_extents else self._pointers():
            if run.logical < end:
                raise self._malformed("its blocks are not in order")
            end = run.logical + run.count
            self._take(run.physical, run.count)
            yield run

    def _extents(self, node: bytes, depth: int | None) -> Iterator[Run]:
        magic, entries, room, own_depth, _ = _HEADER.unpack_from(node)
        fits = entries <= room and _HEADER.size + room * _ENTRY_SIZE <= len(node)
        if magic != _MAGIC or not fits or own_depth > _MAX_DEPTH or depth not in (None, own_depth):
            raise self._malformed("its extents are no tree")
        if depth is not None:
            self._check_sum(node, _HEADER.size + room * _ENTRY_SIZE)
        for offset in range(_HEADER.size, _HEADER.size + entries * _ENTRY_SIZE, _ENTRY_SIZE):
            if own_depth == 0:
                logical, length, high, low = _LEAF.unpack_from(node, offset)
                if length <= _MAX_WRITTEN:
                    yield Run(logical, low | high << 32, length)
            else:
                _, low, high = _INDEX.unpack_from(node, offset)
                yield from self._extents(self._block(low | high << 32), own_depth - 1)

    def _check_sum(self, node: bytes, end: int) -> None:
        if self.superblock.seed is None:
            return
        if end + 4 > len(node) or self.superblock.sum(self.identity, node[:end]) != unpack_from("<I", node, end)[0]:
            raise self._malformed("the checksum of its extents is wrong")

    def _pointers(self) -> Iterator[Run]:
        pointers = unpack_from("<15I", self.root)
        for logical, physical in enumerate(pointers[:_DIRECT]):
            if physical:
                yield Run(logical, physical, 1)
        logical = _DIRECT
        for level, physical in enumerate(pointers[_DIRECT:]):
            if physical:
                yield from self._indirect(physical, logical, level)
            logical += self._span(level)

    def _indirect(self, block: int, logical: int, level: int) -> Iterator[Run]:
        for (physical,) in iter_unpack("<I", self._block(block)):
            if physical and level:
                yield from self._indirect(physical, logical, level - 1)
            elif physical:
                yield Run(logical, physical, 1)
            logical += self._span(level - 1)

    def _span(self, level: int) -> int:
        """Tell how many blocks of a file a block of pointers stands for; at -1, a pointer to content."""
        return int((self.superblock.block_size // 4) ** (level + 1))

    def _block(self, number: int) -> bytes:
        self._take(number, 1)
        self.spent += 1
        if self.spent > self.nodes:
            raise self._malformed("where its blocks are takes more blocks than they are")
        size = self.superblock.block_size
        return self.volume.read(number * size, size, self.where)

    def _take(self, block: int, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise self._malformed("has more blocks than the file system")
        if not self.superblock.first_block < block <= self.superblock.blocks - count:
            raise self._malformed(f"its block {block} is not one of the file system's")

    def _malformed(self, reason: str) -> DiskMalformed:
        return DiskMalformed(self.where, reason)


def identity_of(number: int, generation: int) -> bytes:
    """Return what the checksums of an inode, and of all that belongs to it, begin with."""
    return pack("<II", number, generation)
