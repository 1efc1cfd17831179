"""ext4, and ext2 and ext3, as they stand on a disk, read without mounting it and with nothing of what writes them.

Kernel documentation, filesystems/ext4: inodes, ifork, inlinedata; of devices and times also fs/ext4/inode.c, ext4.h.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from struct import Struct, unpack_from

from builder.disk.ext4.read_blocks import BlockMap, identity_of
from builder.disk.ext4.read_directory import DirectoryReader
from builder.disk.ext4.read_superblock import inode_table, read_superblock
from builder.disk.ext4.read_xattrs import INLINE_DATA, XattrReader
from builder.disk.reading import CHUNK, KINDS, MOST_DIRECTORIES, DiskMalformed, Entry, Volume, device_of, gathered
from builder.linux import MAX_PATH
from builder.tree.found import Inode, Stretches, joined, stretches

_ROOT = 2
_BASE_SIZE = 128
# Mode, uid, size, times of access, of the inode's change, of modification, of deletion; gid, links, sectors, flags.
_FIELDS = Struct("<HHIIIiIHHII")
_MAP = slice(0x28, 0x64)
_SUM_LOW, _EXTRA_SIZE, _SUM_HIGH, _MTIME_EXTRA = 0x7C, 0x80, 0x82, 0x88

_ENCRYPTED, _HUGE, _EXTENTS, _VALUE, _INLINE = 0x800, 0x40000, 0x80000, 0x200000, 0x10000000
_INDEXED = 0x1000
_FAST_TARGET = 59
# Blocks of a map, beyond those of the content: for what was reserved behind it, of which targets have none.
_SPARE_NODES, _FEW_NODES = 1000, 8
# Of the others, some say how the inode is kept, and some are hints that nobody follows.
_FLAGS = {
    0x8: "sync", 0x10: "immutable", 0x20: "append-only", 0x40: "no-dump", 0x80: "no-atime", 0x4000: "journal-data",
    0x10000: "dirsync", 0x100000: "verity", 0x2000000: "dax", 0x20000000: "project-inherit", 0x40000000: "casefold",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Raw:
    """An inode's bytes and what of them everything else begins with."""

    number: int
    data: bytes
    mode: int
    size: int
    flags: int
    identity: bytes
    xattr_block: int

    @property
    def where(self) -> str:
        return f"inode {self.number}"

    @property
    def block_map(self) -> bytes:
        return self.data[_MAP]

    def extra(self, end: int) -> bool:
        """Tell whether a field that ends at `end`, behind the first 128 bytes, is there."""
        return len(self.data) > _BASE_SIZE and end <= _BASE_SIZE + unpack_from("<H", self.data, _EXTRA_SIZE)[0]


class Ext4Reader:
    """Reads one file system (see Reader)."""

    root = _ROOT

    def __init__(self, volume: Volume) -> None:
        """Read the superblock of a disk; raises DiskMalformed."""
        self._volume = volume
        self._tables: dict[int, int] = {}
        self.superblock = read_superblock(volume)
        # All directories together: each block is one directory's, and the root may be read twice.
        self._directory_blocks = min(2 * self.superblock.blocks, MOST_DIRECTORIES // self.superblock.block_size)

    def inode(self, number: int) -> Inode:
        """Read an inode; raises DiskMalformed."""
        raw = self._raw(number)
        _, uid, _, _, _, _, _, gid, links, _, _ = _FIELDS.unpack_from(raw.data)
        uid_high, gid_high = unpack_from("<HH", raw.data, 0x78)
        kind = stat.S_IFMT(raw.mode)
        if kind not in KINDS or raw.flags & _VALUE:
            raise DiskMalformed(raw.where, "is none of a file")
        if raw.flags & _ENCRYPTED:
            raise DiskMalformed(raw.where, "is encrypted")
        xattrs = self._xattrs(raw)
        inline = xattrs.pop(INLINE_DATA, b"")
        content = partial(self._content, raw, inline)
        return Inode(
            number=number,
            mode=raw.mode,
            links=links,
            uid=uid | uid_high << 16,
            gid=gid | gid_high << 16,
            mtime_ns=_mtime(raw),
            xattrs=xattrs,
            size=0 if kind in (stat.S_IFDIR, stat.S_IFLNK) else raw.size,
            target=self._target(raw, content()) if kind == stat.S_IFLNK else b"",
            device=_device(raw.block_map) if kind in (stat.S_IFCHR, stat.S_IFBLK) else (0, 0),
            data=content,
            flags=tuple(name for bit, name in _FLAGS.items() if raw.flags & bit),
        )

    def entries(self, directory: Inode) -> Iterator[Entry]:
        """Yield each entry of a directory; raises DiskMalformed."""
        raw = self._raw(directory.number)
        reader = DirectoryReader(self.superblock, raw.where, raw.identity, bool(raw.flags & _INDEXED))
        if raw.flags & _INLINE:
            # In place of `.` and `..` there is only the number of the directory above.
            rest = self._xattrs(raw).get(INLINE_DATA, b"")
            for part in (raw.block_map[4:], rest):
                yield from reader.entries(part, has_sum=False)
            return
        size = self.superblock.block_size
        if raw.size % size:
            raise DiskMalformed(raw.where, "is a directory of no whole number of blocks")
        mapped = self._map(raw, self._directory_blocks)
        for _, data in self._mapped(raw, mapped):
            self._directory_blocks -= len(data) // size
            if self._directory_blocks < 0:
                raise DiskMalformed("the directories", "have more blocks than the file system, or any tree")
            for start in range(0, len(data), size):
                yield from reader.entries(data[start : start + size])
        self._directory_blocks -= mapped.spent

    def holds(self, mtime_ns: int) -> int:
        """Tell what becomes of a time: 1901 to 2446, or without large inodes whole seconds up to 2038."""
        if self.superblock.inode_size > _BASE_SIZE:
            return min(max(mtime_ns, -(10**9 << 31)), (0b11 << 32 | 0x7FFFFFFF) * 10**9 + 10**9 - 1)
        return min(max(mtime_ns // 10**9, -(1 << 31)), (1 << 31) - 1) * 10**9

    def is_own(self, path: bytes, inode: Inode) -> bool:
        """Tell whether this is an empty `lost+found`: the first inode, as mke2fs's, or root's alone, as e2fsck's."""
        if path != b"lost+found" or not inode.is_directory:
            return False
        is_first = inode.number == self.superblock.first_inode
        is_roots = (stat.S_IMODE(inode.mode), inode.uid, inode.gid) == (0o700, 0, 0)
        return (is_first or is_roots) and all(entry.name in (b".", b"..") for entry in self.entries(inode))

    def _raw(self, number: int) -> _Raw:
        where, facts = f"inode {number}", self.superblock
        if not 0 < number <= facts.inodes:
            raise DiskMalformed(where, f"there are {facts.inodes}")
        group, index = divmod(number - 1, facts.inodes_per_group)
        if group not in self._tables:
            self._tables[group] = inode_table(self._volume, facts, group)
        position = self._tables[group] * facts.block_size + index * facts.inode_size
        data = self._volume.read(position, facts.inode_size, where)
        mode, _, size, *_, flags = _FIELDS.unpack_from(data)
        generation, low = unpack_from("<II", data, 0x64)
        if stat.S_ISREG(mode) or facts.has_large_directories:
            size |= unpack_from("<I", data, 0x6C)[0] << 32
        block = low | unpack_from("<H", data, 0x76)[0] << 32
        raw = _Raw(number, data, mode, size, flags, identity_of(number, generation), block)
        self._check_sum(raw)
        return raw

    def _check_sum(self, raw: _Raw) -> None:
        if self.superblock.seed is None:
            return
        data = bytearray(raw.data)
        stored, mask = unpack_from("<H", data, _SUM_LOW)[0], 0xFFFF
        data[_SUM_LOW : _SUM_LOW + 2] = bytes(2)
        if raw.extra(_SUM_HIGH + 2):
            stored, mask = stored | unpack_from("<H", data, _SUM_HIGH)[0] << 16, 0xFFFFFFFF
            data[_SUM_HIGH : _SUM_HIGH + 2] = bytes(2)
        if self.superblock.sum(raw.identity, bytes(data)) & mask != stored:
            raise DiskMalformed(raw.where, "its checksum is wrong")

    def _all_xattrs(self, raw: _Raw) -> Iterator[tuple[bytes, bytes]]:
        reader = XattrReader(self._volume, self.superblock, raw.where, self._value)
        if raw.xattr_block:
            yield from reader.in_block(raw.xattr_block)
        # The kernel looks here first.
        if len(raw.data) > _BASE_SIZE:
            yield from reader.in_inode(raw.data[_BASE_SIZE + unpack_from("<H", raw.data, _EXTRA_SIZE)[0] :])

    def _xattrs(self, raw: _Raw) -> dict[bytes, bytes]:
        return gathered(self._all_xattrs(raw), raw.where)

    def _value(self, number: int, size: int) -> bytes:
        """Read the value of an extended attribute that has an inode of its own."""
        raw = self._raw(number)
        if not (raw.flags & _VALUE and self.superblock.has_value_inodes and raw.size == size):
            raise DiskMalformed(raw.where, "is not the value of an extended attribute")
        return joined(self._content(raw, b""), size)

    def _target(self, raw: _Raw, content: Stretches) -> bytes:
        if not 0 < raw.size <= MAX_PATH:
            raise DiskMalformed(raw.where, f"is a symlink to {raw.size} bytes")
        if not raw.flags & (_INLINE | _EXTENTS) and self._is_fast(raw):
            return raw.block_map[: raw.size]
        return joined(content, raw.size)

    def _is_fast(self, raw: _Raw) -> bool:
        """Tell whether a symlink's target stands in place of its block map (ext4_inode_is_fast_symlink)."""
        if self.superblock.has_value_inodes:
            return raw.size <= _FAST_TARGET
        sectors = _FIELDS.unpack_from(raw.data)[9] | unpack_from("<H", raw.data, 0x74)[0] << 32
        per_block = 1 if raw.flags & _HUGE else self.superblock.block_size // 512
        others = self.superblock.sectors_per_cluster * per_block // (self.superblock.block_size // 512)
        return raw.size <= _FAST_TARGET and sectors == (others if raw.xattr_block else 0)

    def _content(self, raw: _Raw, inline: bytes) -> Stretches:
        """Read an inode's content up to its size."""
        if raw.flags & _INLINE:
            yield 0, (raw.block_map + inline)[: raw.size]
            return
        spare = _SPARE_NODES if stat.S_ISREG(raw.mode) else _FEW_NODES
        yield from self._mapped(raw, self._map(raw, raw.size // self.superblock.block_size + spare))

    def _map(self, raw: _Raw, nodes: int) -> BlockMap:
        return BlockMap(self._volume, self.superblock, raw.where, raw.block_map, raw.identity, nodes)

    def _mapped(self, raw: _Raw, mapped: BlockMap) -> Stretches:
        size = self.superblock.block_size
        read = partial(self._volume.read, where=raw.where)
        for run in mapped.runs(bool(raw.flags & _EXTENTS)):
            start = run.logical * size
            length = min(run.count * size, raw.size - start)
            if length <= 0:
                return
            yield from stretches(read, start, run.physical * size, length, CHUNK)


def _mtime(raw: _Raw) -> int:
    seconds: int = _FIELDS.unpack_from(raw.data)[5]
    extra: int = unpack_from("<I", raw.data, _MTIME_EXTRA)[0] if raw.extra(_MTIME_EXTRA + 4) else 0
    # 30 bits of nanoseconds, and above 32 signed bits of seconds two more that are added to them.
    return (seconds + ((extra & 0b11) << 32)) * 10**9 + (extra >> 2)


def _device(block_map: bytes) -> tuple[int, int]:
    """Read a device's numbers: in 16 bits, or behind those in 32 (old_decode_dev, new_decode_dev)."""
    old: int
    new: int
    old, new = unpack_from("<II", block_map)
    if old:
        return old >> 8 & 0xFF, old & 0xFF
    return device_of(new)
