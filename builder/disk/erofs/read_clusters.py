"""Where the clusters of a compressed erofs file are: its index says of each logical cluster what begins in it.

Kernel: fs/erofs/erofs_fs.h (z_erofs_map_header, z_erofs_lcluster_index), zmap.c.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct, unpack_from

from builder.disk.erofs.read_superblock import Superblock
from builder.disk.reading import DiskMalformed, Volume

# Where the fragment is, or in the upper half how large the tail behind the index; how, algorithms, bits of clusters.
_HEADER = Struct("<IHBB")
_SHORT, _LARGE_1, _LARGE_2, _TAIL, _INTERLACED, _FRAGMENT = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_WHOLE_FRAGMENT = 0x80

_PLAIN, _HEAD_1, _NO_HEAD, _HEAD_2 = range(4)
# Instead of how far away its head is, the first cluster behind one may say how many blocks that has.
_IS_COUNT = 1 << 11
_FULL_ENTRY = Struct("<HHI")

# What stands for an algorithm where data is not compressed: from where its cluster begins, or turned round in it.
SHIFTED, INTERLACED = -1, -2

# Z_EROFS_PCLUSTER_MAX_SIZE and _MAX_DSIZE, in bytes.
_MAX_PACKED, _MAX_UNPACKED = 1 << 20, 12 << 20


@dataclass(frozen=True, slots=True)
class Extent:
    """`length` bytes of a file from `start` on: `size` bytes at `position` of the disk; 0 bytes: in the fragments."""

    start: int
    length: int
    position: int
    size: int
    algorithm: int


@dataclass(frozen=True, slots=True)
class _Entry:
    """What the index says of a logical cluster: `offset` is where in it something begins, `block` where that is kept.

    One in which nothing begins may have the `count` of blocks of what began in the one before.
    """

    kind: int
    offset: int
    block: int
    count: int = 0


class ClusterIndex:
    """The index of one inode of `size` bytes, whose fields and attributes end at `position`; `full` or compact."""

    def __init__(
        self, volume: Volume, superblock: Superblock, where: str, position: int, size: int, full: bool
    ) -> None:
        """Read its header; raises DiskMalformed."""
        self._volume, self._superblock, self._where, self._size, self._full = volume, superblock, where, size, full
        start = -(-position // 8) * 8
        header = volume.read(start, _HEADER.size, where)
        if full and not superblock.has_headers:
            header = bytes(_HEADER.size)
        first, self._advice, self._algorithms, bits = _HEADER.unpack(header)
        self._is_fragment = bool(bits & _WHOLE_FRAGMENT)
        self._tail_size = first >> 16
        self._fragment = int.from_bytes(header, "little") ^ 1 << 63 if self._is_fragment else first
        if not self._is_fragment:
            self._check_advice()
        self._bits = superblock.block_bits + (bits & 7)
        self._start = start + (16 if full else 8)

    def _check_advice(self) -> None:
        """Refuse what Linux takes for corrupt (z_erofs_fill_inode)."""
        if not self._full and bool(self._advice & _LARGE_1) != bool(self._advice & _LARGE_2):
            raise self._malformed("clusters of one of its algorithms alone are large")
        if self._advice & _TAIL and self._advice & _FRAGMENT:
            raise self._malformed("its end is in two places")

    def extents(self) -> Iterator[Extent]:
        """Yield what the file consists of, in order. Raises DiskMalformed."""
        if self._is_fragment:
            yield Extent(0, self._size, self._fragment, 0, SHIFTED)
            return
        head: tuple[int, _Entry] | None = None
        blocks, index_end = 0, self._start
        for number, (entry, end) in enumerate(self._entries()):
            index_end = end
            start = (number << self._bits) + entry.offset
            if entry.kind == _NO_HEAD:
                blocks = blocks or entry.count
            elif start < self._size:
                if head is not None:
                    yield self._extent(head, start, blocks)
                elif start:
                    raise self._malformed("nothing begins where it begins")
                head, blocks = (start, entry), 0
        if head is not None:
            yield self._last(head, blocks, index_end)
        elif self._size:
            raise self._malformed("nothing begins where it begins")

    def _extent(self, head: tuple[int, _Entry], end: int, blocks: int) -> Extent:
        start, entry = head
        large = self._advice & (_LARGE_1 if entry.kind == _HEAD_1 else _LARGE_2)
        size = blocks << self._superblock.block_bits if large and blocks else 1 << self._bits
        if size > _MAX_PACKED or not 0 < end - start <= _MAX_UNPACKED:
            raise self._malformed("a cluster of it is larger than any")
        position = entry.block << self._superblock.block_bits
        return Extent(start, end - start, position, size, self._algorithm(entry.kind))

    def _last(self, head: tuple[int, _Entry], blocks: int, index_end: int) -> Extent:
        """The last one may be kept elsewhere: behind the index, or among the fragments."""
        start, entry = head
        if self._advice & _TAIL:
            if not self._tail_size or self._size - start > _MAX_UNPACKED:
                raise self._malformed("its tail is of no size that a cluster has")
            return Extent(start, self._size - start, index_end, self._tail_size, self._algorithm(entry.kind))
        if self._advice & _FRAGMENT:
            position = self._fragment | (entry.block << 32 if self._full else 0)
            return Extent(start, self._size - start, position, 0, SHIFTED)
        return self._extent(head, self._size, blocks)

    def _algorithm(self, kind: int) -> int:
        if kind == _PLAIN:
            return INTERLACED if self._advice & _INTERLACED else SHIFTED
        algorithms: int = self._algorithms
        return algorithms >> 4 if kind == _HEAD_2 else algorithms & 0xF

    def _entries(self) -> Iterator[tuple[_Entry, int]]:
        """Yield what there is of each logical cluster, and where the next pack of the index begins."""
        total = -(-self._size // (1 << self._bits))
        if self._full:
            self._volume.check(self._start, total * _FULL_ENTRY.size, self._where)
            for number in range(total):
                position = self._start + number * _FULL_ENTRY.size
                yield self._full_entry(position), position + _FULL_ENTRY.size
            return
        if self._bits > 14:
            raise self._malformed("its clusters are larger than a compact index holds")
        # Packs of 2 entries in 8 bytes up to an aligned place, of 16 in 32 as long as there are so many, of 2 again.
        before = min((32 - self._start % 32) // 4 % 8, total)
        short = (total - before) // 16 * 16 if self._advice & _SHORT and self._bits <= 12 else 0
        position = self._start
        for left, entries, size in ((before, 2, 8), (short, 16, 32), (total - before - short, 2, 8)):
            packs = -(-left // entries)
            self._volume.check(position, packs * size, self._where)
            for _ in range(packs):
                pack = self._pack(self._volume.read(position, size, self._where), entries)
                position += size
                for entry in pack[:left]:
                    yield entry, position
                left -= entries

    def _full_entry(self, position: int) -> _Entry:
        advice, offset, value = _FULL_ENTRY.unpack(self._volume.read(position, _FULL_ENTRY.size, self._where))
        kind = advice & 3
        if kind != _NO_HEAD:
            return _Entry(kind, self._checked(offset), value)
        distance = value & 0xFFFF
        return _Entry(kind, 0, 0, distance & ~_IS_COUNT if distance & _IS_COUNT else 0)

    def _pack(self, pack: bytes, entries: int) -> list[_Entry]:
        """Read a pack: entries of as many bits, and the block from which those that begin in it are counted."""
        width = (len(pack) - 4) * 8 // entries
        low = max(self._bits, 12)
        whole, (block,) = int.from_bytes(pack[:-4], "little"), unpack_from("<I", pack, len(pack) - 4)
        values = [whole >> number * width & (1 << width) - 1 for number in range(entries)]
        large = bool(self._advice & (_LARGE_1 | _LARGE_2))
        found: list[_Entry] = []
        for number, value in enumerate(values):
            kind, rest = value >> low & 3, value & (1 << low) - 1
            if kind == _NO_HEAD:
                count = rest & ~_IS_COUNT if rest & _IS_COUNT else 0
                block += count if large else 0
                found.append(_Entry(kind, 0, 0, count))
                continue
            if not large:
                block += 1
            found.append(_Entry(kind, self._checked(rest), block))
            alone = number + 1 == entries or values[number + 1] >> low & 3 != _NO_HEAD
            block += large and alone
        return found

    def _checked(self, offset: int) -> int:
        if offset >= 1 << self._bits:
            raise self._malformed("something begins behind its cluster")
        return offset

    def _malformed(self, reason: str) -> DiskMalformed:
        return DiskMalformed(self._where, reason)
