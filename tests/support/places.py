"""What a byte of a disk is for, by what our readers know of it: the tree's, or nobody's."""

from __future__ import annotations

import os
import stat
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from struct import unpack_from

from builder.disk.erofs.read import ErofsReader
from builder.disk.ext4.read import Ext4Reader
from builder.disk.ext4.read_blocks import BlockMap
from builder.disk.reading import Reader, walk
from builder.linux import ACL_NAMED, ACLS, XATTR_INDEXES
from builder.tree.found import Inode

_UNREAD = "a field that nobody reads"
_TYPE = "a type beside a name, which may be left out"
# What a disk may hold anything in: no guest sees it, and no checker looks.
NOBODYS = frozenset(
    {
        "for boot loaders",
        "free",
        "behind the end of a file",
        "an inode that is not in use",
        "the journal",
        "a copy of the superblock",
        "padding",
        _UNREAD,
        _TYPE,
        "features that readers need not know",
        "the layout of what has no content",
        "the size of a directory",
    }
)

_ACL_INDEXES = {XATTR_INDEXES[name] for name in ACLS}


@dataclass(frozen=True, slots=True)
class Places:
    """Stretches of a disk, (start, end, what they are), in order; what is in none is `otherwise`."""

    stretches: list[tuple[int, int, str]]
    otherwise: str

    def of(self, position: int) -> str:
        """Say what the byte at a position is for."""
        at = bisect_right(self.stretches, position, key=lambda stretch: stretch[0])
        for start, end, what in reversed(self.stretches[max(0, at - 3) : at]):
            if start <= position < end:
                return what
        return self.otherwise

    def spans(self, what: str, size: int) -> list[tuple[int, int]]:
        """Give the stretches, (start, end), of a disk of `size` bytes that are for one thing."""
        edges = sorted({0, size, *(edge for start, end, _ in self.stretches for edge in (start, end) if edge < size)})
        return [(start, end) for start, end in pairwise(edges) if self.of(start) == what]

    def kinds(self, size: int) -> list[str]:
        """Name all that bytes of a disk of `size` bytes are for."""
        named = {what for _, _, what in self.stretches} | {self.otherwise}
        return sorted(what for what in named if self.spans(what, size))


def places(reader: Reader, fd: int) -> Places:
    """Find out what is where, of a disk of ours that is in order."""
    if isinstance(reader, Ext4Reader):
        return Places(sorted(_ext4(reader, fd)), "a structure")
    assert isinstance(reader, ErofsReader)
    return _what_is_left(Places(sorted(_erofs(reader)), "padding"), os.pread(fd, os.fstat(fd).st_size, 0))


def _what_is_left(found: Places, data: bytes) -> Places:
    """Call bytes that are for nothing padding only where they are zeros."""
    rest = [
        (at, min(at + 4, end), "a structure")
        for start, end in found.spans(found.otherwise, len(data))
        for at in range(start, end, 4)
        if any(data[at : min(at + 4, end)])
    ]
    return Places(sorted([*found.stretches, *rest]), found.otherwise)


def _ext4(reader: Ext4Reader, fd: int) -> Iterator[tuple[int, int, str]]:
    facts = reader.superblock
    size, inode_size = facts.block_size, facts.inode_size
    yield 0, 1024, "for boot loaders"
    yield 2048, size, "padding"
    used = {2, 7, 8}
    numbers = {each.inode.number: each.inode for each in walk(reader)}
    for number in [8, *numbers]:
        raw = reader._raw(number)
        inode = numbers.get(number)
        if not raw.flags & 0x80000:
            continue
        mapped = BlockMap(reader._volume, facts, "", raw.block_map, raw.identity, facts.blocks)
        for run in mapped.runs(True):
            start, end = run.physical * size, (run.physical + run.count) * size
            if number == 8:
                yield start, end, "the journal"
                continue
            filled = min(end, start + max(0, raw.size - run.logical * size))
            yield start, filled, "content" if inode and inode.is_file else "names"
            yield filled, end, "behind the end of a file"
    used |= numbers.keys()
    groups = -(-facts.inodes // facts.inodes_per_group)
    descriptors = (facts.first_block + 1) * size
    yield (
        descriptors + groups * facts.descriptor_size,
        -(-groups * facts.descriptor_size // size) * size + descriptors,
        "padding",
    )
    for group in range(groups):
        table = reader._tables.get(group)
        descriptor = os.pread(fd, facts.descriptor_size, descriptors + group * facts.descriptor_size)
        low, table_low = unpack_from("<I", descriptor, 0)[0], unpack_from("<I", descriptor, 8)[0]
        table = table_low if table is None else table
        for index in range(facts.inodes_per_group):
            start = table * size + index * inode_size
            number = group * facts.inodes_per_group + index + 1
            yield start, start + inode_size, "an inode" if number in used else "an inode that is not in use"
        first = facts.first_block + group * facts.blocks_per_group
        if group and facts.has_superblock(group):
            yield first * size, (first + 1) * size, "a copy of the superblock"
            copied = first + 1 + -(-groups * facts.descriptor_size // size)
            yield (first + 1) * size, copied * size, "a copy of the superblock"
        bitmap = os.pread(fd, size, low * size)
        if unpack_from("<H", descriptor, 0x12)[0] & 2:  # No bitmap was written: all but its own structures is free.
            continue
        for block in range(min(facts.blocks_per_group, facts.blocks - first)):
            if not bitmap[block // 8] >> block % 8 & 1:
                yield (first + block) * size, (first + block + 1) * size, "free"


def _erofs(reader: ErofsReader) -> Iterator[tuple[int, int, str]]:
    yield 0, 1024, "for boot loaders"
    # Among the features without which one may read, is that there is a checksum.
    yield 1024, 1032, "the superblock"
    yield 1032, 1036, "features that readers need not know"
    yield 1036, 4096 if reader.superblock.metadata == 0 else 1152, "the superblock"
    for each in walk(reader):
        inode, place = each.inode, reader._place(each.inode.number)[1]
        start = reader.superblock.metadata + inode.number * 32
        whole = place.size if place.layout == 0 else place.size // 4096 * 4096
        stored = place.layout in (0, 2) and not inode.device[0]
        yield from _parts(start, start + 64, _inode_fields(inode, place.size, stored and not whole), "an inode")
        if place.end > start + 64:
            yield from _erofs_xattrs(start + 64, reader._volume.read(start + 64, place.end - start - 64, "attributes"))
        if not stored:
            continue
        for first, size in ((place.value * 4096, whole), (place.end, place.size - whole)):
            if not inode.is_directory:
                yield first, first + size, "content" if inode.is_file else "names"
            for block in range(first, first + size if inode.is_directory else 0, 4096):
                yield from _erofs_names(block, reader._volume.read(block, min(4096, first + size - block), "names"))


def _inode_fields(inode: Inode, size: int, is_all_behind: bool) -> list[tuple[int, int, str]]:
    """Name what an inode says that nobody asks, in order; of `size` bytes, all may be right behind it."""
    return [
        *([(0, 2, "the layout of what has no content")] if not size else []),
        *([(4, 6, "the mode of a symlink")] if stat.S_ISLNK(inode.mode) else []),
        (6, 8, _UNREAD),
        # Behind the last name there may be zeros.
        *([(8, 16, "the size of a directory")] if inode.is_directory else []),
        *([(16, 20, _UNREAD)] if is_all_behind else []),
        *((20, 24, _UNREAD), (48, 64, _UNREAD)),
    ]


def _parts(start: int, end: int, parts: list[tuple[int, int, str]], what: str) -> Iterator[tuple[int, int, str]]:
    """Name a stretch, but for parts of it, (first, last, what) from its start on, that are something else."""
    at = start
    for first, last, other in parts:
        yield at, start + first, what
        yield start + first, start + last, other
        at = start + last
    yield at, end, what


def _erofs_names(start: int, block: bytes) -> Iterator[tuple[int, int, str]]:
    """Name a block of a directory: heads of twelve bytes, of which the last says nothing, and names."""
    heads = range(0, unpack_from("<H", block, 8)[0], 12)
    parts = [(at + 10 + n, at + 11 + n, what) for at in heads for n, what in enumerate((_TYPE, _UNREAD))]
    yield from _parts(start, start + len(block), parts, "names")


def _erofs_xattrs(start: int, area: bytes) -> Iterator[tuple[int, int, str]]:
    """Name what an inode has of attributes: a header of which only a count is read, what is shared, and entries."""
    at = 12 + 4 * area[4]
    yield from _parts(start, start + at, [(0, 4, _UNREAD), (5, 12, _UNREAD)], "attributes")
    while at + 4 <= len(area):
        length, index, size = unpack_from("<BBH", area, at)
        value, end = at + 4 + length, at + 4 + length + size
        # Of who is not named in an ACL, an id.
        unnamed = [here - at for here in range(value + 4, end, 8) if area[here] not in ACL_NAMED]
        ids = [(here + 4, here + 8, _UNREAD) for here in unnamed]
        yield from _parts(start + at, start + end, ids if index in _ACL_INDEXES else [], "attributes")
        at = -(-end // 4) * 4
        yield start + end, start + at, "padding"
