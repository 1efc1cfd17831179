"""The content of erofs inodes in all layouts: in blocks, behind the inode, in chunks, compressed.

Kernel documentation, filesystems/erofs; fs/erofs/data.c, zdata.c.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from struct import iter_unpack

from builder.disk.erofs.decompress import unpacked
from builder.disk.erofs.read_clusters import ClusterIndex, Extent
from builder.disk.erofs.read_superblock import Superblock
from builder.disk.reading import CHUNK, DiskMalformed, Volume
from builder.tree.found import Stretches, stretches

PLAIN, FULL_INDEX, INLINE, COMPACT_INDEX, CHUNKS = range(5)

_CHUNK_BITS, _HAS_INDEXES = 0x1F, 0x20
_NO_BLOCK = 0xFFFFFFFF

# Fragments are found by where each of their clusters is, which is in memory: 64 GiB in the smallest clusters.
_MOST_CLUSTERS = 1 << 24


@dataclass(frozen=True, slots=True)
class Place:
    """Where an inode's content is: `size` bytes laid out as `layout` says, with a `value`; attributes end at `end`."""

    where: str
    layout: int
    size: int
    value: int
    end: int


class _Extents:
    """The extents of a compressed file, in order, without an object each: there are millions."""

    def __init__(self) -> None:
        self._starts = array("Q")
        # Length, position, size, algorithm of each.
        self._rest = array("q")

    def __len__(self) -> int:
        return len(self._starts)

    def append(self, extent: Extent) -> None:
        """Add what begins where the last one ends."""
        self._starts.append(extent.start)
        self._rest.extend((extent.length, extent.position, extent.size, extent.algorithm))

    def overlapping(self, start: int, end: int) -> Iterator[Extent]:
        """Yield those that have any of these bytes."""
        for number in range(max(bisect_right(self._starts, start) - 1, 0), bisect_left(self._starts, end)):
            yield Extent(self._starts[number], *self._rest[4 * number : 4 * number + 4])


@dataclass(slots=True)
class ContentReader:
    """Reads content of one file system; `fragments` is where those of its files are, if it has any."""

    volume: Volume
    superblock: Superblock
    fragments: Place | None = None
    _fragment_extents: _Extents | None = None
    # Neighbours are often of the same cluster.
    _last: tuple[int, bytes] = (-1, b"")

    def read(self, place: Place, *, sparse: bool = False) -> Stretches:
        """Yield an inode's content; raises DiskMalformed. If `sparse`, without holes of the disk's own file."""
        if place.layout in (PLAIN, INLINE):
            return self._flat(place, 0, place.size, sparse=sparse)
        if place.layout == CHUNKS:
            return self._chunks(place)
        if place.layout in (FULL_INDEX, COMPACT_INDEX):
            return self._clusters(place)
        raise DiskMalformed(place.where, f"its content has a layout that is not known ({place.layout})")

    def _flat(self, place: Place, start: int, end: int, *, sparse: bool = False) -> Stretches:
        """Read from `start` to `end` what is in blocks, and the last of it perhaps behind the inode."""
        size = self.superblock.block_size
        tail = 0
        if place.layout == INLINE and place.size:
            tail = place.size % size or size
            if place.end % size + tail > size:
                raise DiskMalformed(place.where, "its tail leaves its block")
        position, whole = place.value * size, place.size - tail
        read = partial(self.volume.read, where=place.where)
        if start < whole:
            length = min(end, whole) - start
            self.volume.check(position + start, length, place.where)
            if sparse:
                yield from self.volume.stretches(start, position + start, length, place.where)
            else:
                yield from stretches(read, start, position + start, length, CHUNK)
        if end > whole:
            first = max(start, whole)
            yield first, read(place.end + first - whole, end - first)

    def _chunks(self, place: Place) -> Stretches:
        """Files of equal chunks, each somewhere or nowhere: then it is a hole."""
        bits = self.superblock.block_bits + (place.value & _CHUNK_BITS)
        has_indexes = bool(place.value & _HAS_INDEXES)
        width, form = (8, "<4xI") if has_indexes else (4, "<I")
        position = -(-place.end // width) * width
        count = -(-place.size // (1 << bits))
        self.volume.check(position, count * width, place.where)
        read = partial(self.volume.read, where=place.where)
        start = 0
        for at in range(0, count * width, CHUNK):
            table = read(position + at, min(CHUNK, count * width - at))
            if has_indexes and any(device for (device,) in iter_unpack("<2xH4x", table)):
                raise DiskMalformed(place.where, "its content is on another device")
            for (block,) in iter_unpack(form, table):
                length = min(1 << bits, place.size - start)
                if block != _NO_BLOCK:
                    yield from stretches(read, start, block * self.superblock.block_size, length, CHUNK)
                start += length

    def _clusters(self, place: Place) -> Stretches:
        for extent in self._index(place).extents():
            if extent.size:
                yield extent.start, self._unpacked(place.where, extent)
            else:
                yield from self._fragment(place.where, extent)

    def _index(self, place: Place) -> ClusterIndex:
        full = place.layout == FULL_INDEX
        return ClusterIndex(self.volume, self.superblock, place.where, place.end, place.size, full)

    def _unpacked(self, where: str, extent: Extent) -> bytes:
        data = self.volume.read(extent.position, extent.size, where)
        return unpacked(self.superblock, where, data, extent.algorithm, extent.start, extent.length)

    def _fragment(self, where: str, extent: Extent) -> Stretches:
        """Read a part of the inode that holds the ends of many files."""
        for start, data in self._part(where, extent.position, extent.length):
            yield extent.start + start - extent.position, data

    def fragment(self, start: int, length: int) -> bytes:
        """Read a small part of the fragments; raises DiskMalformed."""
        return b"".join(data for _, data in self._part("the fragments", start, length))

    def _part(self, where: str, start: int, length: int) -> Stretches:
        packed = self.fragments
        if packed is None or start < 0 or start + length > packed.size:
            raise DiskMalformed(where, "its end is a fragment, and there is none")
        if packed.layout in (PLAIN, INLINE):
            yield from self._flat(packed, start, start + length)
            return
        if packed.layout == CHUNKS:
            raise DiskMalformed(packed.where, "the fragments are in chunks")
        read = start
        for extent in self._overlapping(packed, start, start + length):
            data = self._fragment_cluster(packed, extent)
            first = max(start - extent.start, 0)
            yield extent.start + first, data[first : start + length - extent.start]
            read = extent.start + extent.length
        # Their index was found wrong earlier, and is not read once more for each file.
        if read < start + length:
            raise DiskMalformed(packed.where, "the fragments are not all there")

    def _overlapping(self, packed: Place, start: int, end: int) -> Iterator[Extent]:
        if self._fragment_extents is None:
            self._fragment_extents = _Extents()
            for extent in self._index(packed).extents():
                if not extent.size:
                    raise DiskMalformed(packed.where, "the fragments end in a fragment")
                if len(self._fragment_extents) == _MOST_CLUSTERS:
                    raise DiskMalformed(packed.where, f"the fragments are in more than {_MOST_CLUSTERS} clusters")
                self._fragment_extents.append(extent)
        yield from self._fragment_extents.overlapping(start, end)

    def _fragment_cluster(self, packed: Place, extent: Extent) -> bytes:
        if self._last[0] != extent.start:
            self._last = (extent.start, self._unpacked(packed.where, extent))
        return self._last[1]
