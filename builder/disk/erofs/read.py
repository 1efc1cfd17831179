"""erofs as it stands on a disk, read without mounting it and with nothing of what writes it.

Kernel documentation, filesystems/erofs; fs/erofs/erofs_fs.h, inode.c, dir.c.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from functools import partial
from struct import Struct, iter_unpack, unpack_from

from builder.disk.erofs.read_content import ContentReader, Place
from builder.disk.erofs.read_superblock import read_superblock
from builder.disk.erofs.read_xattrs import XattrReader, long_prefix
from builder.disk.reading import KINDS, MOST_DIRECTORIES, DiskMalformed, Entry, Volume, device_of, gathered, type_of
from builder.linux import MAX_PATH
from builder.tree.found import Inode, joined

_SLOT = 32
# Form, attributes, mode, links, size, seconds since the file system was made (Linux 6.15), value, number, uid, gid.
_COMPACT = Struct("<HHHHIIIIHHI")
# Form, attributes, mode, -, size, value, number, uid, gid, seconds, nanoseconds, links.
_EXTENDED = Struct("<HHHHQIIIIqII16x")
_IS_EXTENDED, _FORM_BITS = 1, 0b1111
_DIRENT_SIZE = 12


class ErofsReader:
    """Reads one file system (see Reader)."""

    def __init__(self, volume: Volume) -> None:
        """Read the superblock of a disk; raises DiskMalformed."""
        self._volume = volume
        self.superblock = read_superblock(volume)
        self.root = self.superblock.root
        self._prefixes: tuple[bytes, ...] = ()
        self._content = ContentReader(volume, self.superblock)
        if self.superblock.packed:
            self._content.fragments = self._place(self.superblock.packed)[1]
        self._prefixes = tuple(self._long_prefixes())
        # No disk of so many bytes has larger directories, all together; the root may be read twice.
        self._directory_bytes = min(2 * volume.size, MOST_DIRECTORIES)

    def inode(self, number: int) -> Inode:
        """Read an inode; raises DiskMalformed."""
        inode, place = self._place(number)
        kind = stat.S_IFMT(inode.mode)
        if kind not in KINDS:
            raise DiskMalformed(place.where, "is none of a file")
        return Inode(
            number=number,
            mode=inode.mode,
            links=inode.links,
            uid=inode.uid,
            gid=inode.gid,
            mtime_ns=inode.mtime_ns,
            xattrs=inode.xattrs,
            size=0 if kind in (stat.S_IFDIR, stat.S_IFLNK) else place.size,
            target=self._target(place) if kind == stat.S_IFLNK else b"",
            device=device_of(place.value) if kind in (stat.S_IFCHR, stat.S_IFBLK) else (0, 0),
            # Terabytes of holes are kept as blocks of zeros here, which our own disks have as holes.
            data=partial(self._content.read, place, sparse=True),
        )

    def entries(self, directory: Inode) -> Iterator[Entry]:
        """Yield each entry of a directory; raises DiskMalformed."""
        _, place = self._place(directory.number)
        self._directory_bytes -= place.size
        if self._directory_bytes < 0:
            raise DiskMalformed("the directories", "are larger than the disk, or those of any tree")
        last = b""
        for block in self._blocks(place):
            for entry in _entries(place.where, block):
                if entry.name <= last:
                    # Linux looks for names by halves, and would not find it.
                    raise DiskMalformed(place.where, "is a directory out of order")
                last = entry.name
                yield entry

    def holds(self, mtime_ns: int) -> int:
        """Tell what becomes of a time: nothing, it has 64 bits."""
        return mtime_ns

    def is_own(self, path: bytes, inode: Inode) -> bool:
        """Tell whether mkfs.erofs made this of itself: it makes nothing."""
        return False

    def _place(self, number: int) -> tuple[Inode, Place]:
        """Read the fields of an inode and its attributes."""
        where = f"inode {number}"
        position = self.superblock.metadata + number * _SLOT
        (form,) = unpack_from("<H", self._volume.read(position, 2, where))
        if form & ~_FORM_BITS:
            raise DiskMalformed(where, f"has a form that is not known ({form:#x})")
        if form & _IS_EXTENDED:
            fields = _EXTENDED.unpack(self._volume.read(position, _EXTENDED.size, where))
            _, count, mode, _, size, value, _, uid, gid, seconds, nanoseconds, links = fields
            time, end = seconds * 10**9 + nanoseconds, position + _EXTENDED.size
        else:
            fields = _COMPACT.unpack(self._volume.read(position, _COMPACT.size, where))
            _, count, mode, links, size, seconds, value, _, uid, gid, _ = fields
            time, end = self.superblock.build_time_ns + seconds * 10**9, position + _COMPACT.size
        area = self._volume.read(end, 12 + 4 * (count - 1), where) if count else b""
        facts, read = self.superblock, partial(self._volume.read, where=where)
        reader = XattrReader(where, read, facts.xattrs, self._prefixes, facts.has_filters)
        inode = Inode(number, mode, links, uid, gid, time, gathered(reader.xattrs(area), where))
        return inode, Place(where, form >> 1, size, value, end + len(area))

    def _blocks(self, place: Place) -> Iterator[bytes]:
        """Yield the blocks of a directory, the last one as long as it is; if compressed, its parts end anywhere."""
        size, read, rest = self.superblock.block_size, 0, b""
        for start, data in self._content.read(place):
            if start != read:
                break
            read += len(data)
            data = rest + data
            whole = len(data) // size * size
            yield from (data[at : at + size] for at in range(0, whole, size))
            rest = data[whole:]
        if read != place.size:
            # Linux finds nothing behind one.
            raise DiskMalformed(place.where, "is a directory with holes")
        if rest:
            yield rest

    def _long_prefixes(self) -> Iterator[bytes]:
        position = self.superblock.prefix_start
        for _ in range(self.superblock.prefixes):
            (length,) = unpack_from("<H", self._metadata(position, 2))
            yield long_prefix(self._metadata(position + 2, length))
            position = -(-(position + 2 + length) // 4) * 4

    def _metadata(self, position: int, size: int) -> bytes:
        """Read what is among the fragments where there are any and nothing else is said, and else on the disk."""
        if self._content.fragments is None or self.superblock.has_plain_prefixes:
            return self._volume.read(position, size, "the prefixes of extended attributes")
        return self._content.fragment(position, size)

    def _target(self, place: Place) -> bytes:
        if not 0 < place.size <= MAX_PATH:
            raise DiskMalformed(place.where, f"is a symlink to {place.size} bytes")
        return joined(self._content.read(place), place.size)


def _entries(where: str, block: bytes) -> Iterator[Entry]:
    """Read a block of a directory: its heads, and behind them the names; zeros may follow the last one."""
    first = unpack_from("<H", block, 8)[0] if len(block) >= _DIRENT_SIZE else 0
    if not 0 < first <= len(block) or first % _DIRENT_SIZE:
        raise DiskMalformed(where, "is a directory without entries")
    heads = list(iter_unpack("<QHBx", block[:first]))
    ends = [*(offset for _, offset, _ in heads[1:]), len(block)]
    for (number, start, kind), end in zip(heads, ends, strict=True):
        if not first <= start < end <= len(block):
            raise DiskMalformed(where, "a name in it is in another place")
        name = block[start:end] if end < len(block) else block[start:end].partition(b"\0")[0]
        yield Entry(name, number, type_of(kind))
