"""What a reader has to know of a whole erofs file system: its superblock, and how its algorithms were set.

Kernel documentation, filesystems/erofs; fs/erofs/erofs_fs.h, super.c.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from struct import Struct, unpack_from

from google_crc32c import extend

from builder.disk.reading import DiskMalformed, Volume

_POSITION, _SIZE = 1024, 128
_MAGIC = 0xE0F5E1E2
_WHERE = "the superblock"

# Compat: a checksum; filters of attributes' names; shared attributes that Linux looks for elsewhere since
# 6.17; long prefixes that are never among the fragments.
_HAS_SUM, _FILTERS, _SHARED_ELSEWHERE, _PLAIN_PREFIXES = 0x1, 0x4, 0x8, 0x10
_FILTER_KIND = 104
# Incompat: data at the end of its clusters; settings of algorithms, and large clusters; chunks; a second algorithm, and
# devices; tails in inodes; fragments, and data used twice; long prefixes.
_PADDED, _SETTINGS, _FRAGMENTS, _PREFIXES = 0x1, 0x2, 0x20, 0x40
_TAILS = 0x10
_KNOWN = _PADDED | _SETTINGS | 0x4 | 0x8 | _TAILS | _FRAGMENTS | _PREFIXES

_LZMA = 1
# A cluster, and what LZMA remembers, have so many bytes at most; ZSTD remembers a cluster.
_MAX_CLUSTER, _MAX_DICTIONARY, _MAX_ZSTD = 1 << 20, 8 << 20, 20 - 10
# LZ4: a distance, blocks of a cluster; LZMA: dictionary, form; deflate: window; ZSTD: form, window.
_SETTINGS_OF = Struct("<HH10x"), Struct("<IH8x"), Struct("<B5x"), Struct("<BB4x")
# Magic, checksum, compat, block bits, slots behind it, root, inodes, time, its nanoseconds, blocks, metadata, xattrs.
_FIELDS = Struct("<IIIBBHQQIIII")
# Incompat, algorithms, devices, their slot, bits of directories' blocks, prefixes: how many, from where; packed inode.
_MORE = Struct("<IHHHBBIQ")


@dataclass(frozen=True, slots=True)
class Superblock:
    """The facts: positions and sizes in bytes, times in nanoseconds; `packed` is the inode of fragments, or 0."""

    block_bits: int
    root: int
    build_time_ns: int
    metadata: int
    xattrs: int
    incompat: int
    prefixes: int
    prefix_start: int
    packed: int
    lzma_dictionary: int
    has_filters: bool = False
    has_plain_prefixes: bool = False

    @property
    def block_size(self) -> int:
        """The size of a block in bytes."""
        return 1 << self.block_bits

    @property
    def is_padded(self) -> bool:
        """Whether compressed data ends where its blocks end, and not begins where they begin."""
        return bool(self.incompat & _PADDED)

    @property
    def has_headers(self) -> bool:
        """Whether full indexes of clusters have a header that says something."""
        return bool(self.incompat & (_SETTINGS | _TAILS | _FRAGMENTS))


def read_superblock(volume: Volume) -> Superblock:
    """Read the superblock of a disk; raises DiskMalformed for one that is none, or of which too little is known."""
    data = volume.read(_POSITION, _SIZE, _WHERE)
    magic, stored, compat, bits, slots, root, _, seconds, nanoseconds, blocks, metadata, xattrs = _FIELDS.unpack_from(
        data
    )
    incompat, algorithms, devices, _, directory_bits, prefixes, prefix_start, packed = _MORE.unpack_from(data, 80)
    if magic != _MAGIC:
        raise DiskMalformed(_WHERE, "is none of erofs")
    if unknown := incompat & ~_KNOWN:
        raise DiskMalformed(_WHERE, f"has features of which nothing is known here ({unknown:#x})")
    if compat & _SHARED_ELSEWHERE:
        raise DiskMalformed(_WHERE, "its shared attributes are where nothing is known of them here")
    if not 9 <= bits <= 16 or directory_bits:
        raise DiskMalformed(_WHERE, "its blocks have no size that erofs knows")
    if devices:
        raise DiskMalformed(_WHERE, "its content is on other devices")
    size = 1 << bits
    volume.check(0, blocks * size, _WHERE)
    if compat & _HAS_SUM:
        covered = volume.read(_POSITION, size - _POSITION if size > _POSITION else size, _WHERE)
        if extend(0, covered[:4] + bytes(4) + covered[8:]) ^ 0xFFFFFFFF != stored:
            raise DiskMalformed(_WHERE, "its checksum is wrong")
    return Superblock(
        block_bits=bits,
        root=root,
        build_time_ns=seconds * 10**9 + nanoseconds,
        metadata=metadata * size,
        xattrs=xattrs * size,
        incompat=incompat,
        prefixes=prefixes if incompat & _PREFIXES else 0,
        prefix_start=prefix_start * 4,
        packed=packed if incompat & _FRAGMENTS else 0,
        lzma_dictionary=_lzma_dictionary(volume, _POSITION + _SIZE + slots * 16, algorithms, incompat, size),
        # Of a kind that is not known there are none.
        has_filters=bool(compat & _FILTERS) and data[_FILTER_KIND] == 0,
        has_plain_prefixes=bool(compat & _PLAIN_PREFIXES),
    )


def _lzma_dictionary(volume: Volume, position: int, algorithms: int, incompat: int, block_size: int) -> int:
    """Return the size of the dictionary that LZMA needs, in bytes; 0 where there is no LZMA.

    Raises DiskMalformed where an algorithm is set as Linux does not mount it.
    """
    dictionary = 0
    if not incompat & _SETTINGS:
        return dictionary
    for algorithm, form in enumerate(_SETTINGS_OF):
        if algorithms & 1 << algorithm:
            (length,) = unpack_from("<H", volume.read(position, 2, _WHERE))
            settings = volume.read(position + 2, length, _WHERE)
            if length < form.size or not _linux_takes(algorithm, form.unpack_from(settings), block_size):
                raise DiskMalformed(_WHERE, f"its settings of algorithm {algorithm} are none that Linux takes")
            if algorithm == _LZMA:
                (dictionary, _) = form.unpack_from(settings)
            position += 2 + length
    return dictionary


def _linux_takes(algorithm: int, settings: tuple[int, ...], block_size: int) -> bool:
    """Tell whether Linux mounts a disk with these settings of an algorithm (z_erofs_load_*_config)."""
    return (
        settings[-1] * block_size <= _MAX_CLUSTER,
        4096 <= settings[0] <= _MAX_DICTIONARY and not settings[-1],
        settings[0] <= zlib.MAX_WBITS,
        not settings[0] and settings[-1] <= _MAX_ZSTD,
    )[algorithm]
