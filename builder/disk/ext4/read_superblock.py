"""What a reader has to know of a whole ext4 file system: its superblock and its groups.

Kernel documentation, filesystems/ext4: super, group_descr, checksums; for the places of descriptors, fs/ext4/super.c.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct, pack, unpack_from

from google_crc32c import extend

from builder.disk.reading import DiskMalformed, Volume

_POSITION, _SIZE = 1024, 1024
_WHERE = "the superblock"

# Features that change what else is written where (incompat), of which this reader knows what to do.
_META_BG, _64BIT, _CHECKSUM_SEED, _LARGE_DIRECTORIES = 0x10, 0x80, 0x2000, 0x4000
_FILE_TYPES, _RECOVER, _EA_INODE = 0x2, 0x4, 0x400
_KNOWN = _FILE_TYPES | 0x40 | _META_BG | _64BIT | 0x100 | 0x200 | _EA_INODE | _CHECKSUM_SEED | _LARGE_DIRECTORIES
# Data in inodes; names that are searched for, not kept, in other cases; files of which some may be encrypted.
_KNOWN |= 0x8000 | 0x20000 | 0x10000
_SPARSE_GROUPS, _CHECKSUMS = 0x1, 0x400
_INDEXES, _SPARSE_GROUPS_2 = 0x20, 0x200  # compat
# Hashes of directories' indexes: up to TEA with unsigned characters, and SipHash for names in any case.
_CASELESS, _LAST_HASH, _SIPHASH = 0x20000, 5, 6
_HURD = 1

# Inodes, blocks; first block; sizes of blocks and clusters; blocks, clusters and inodes of a group.
_COUNTS, _FIRST = Struct("<II"), Struct("<IIIIII")


@dataclass(frozen=True, slots=True)
class Superblock:
    """The facts: sizes in bytes; `seed` is what all checksums begin with, or None where there are none."""

    block_size: int
    blocks: int
    inodes: int
    first_inode: int
    inode_size: int
    inodes_per_group: int
    blocks_per_group: int
    first_block: int
    sectors_per_cluster: int
    descriptor_size: int
    first_meta_group: int
    backups: tuple[int, int] | None
    sparse: bool
    incompat: int
    seed: int | None

    @property
    def has_file_types(self) -> bool:
        """Whether directories say the type of what they name."""
        return bool(self.incompat & _FILE_TYPES)

    @property
    def has_large_directories(self) -> bool:
        """Whether directories have sizes of 64 bits."""
        return bool(self.incompat & _LARGE_DIRECTORIES)

    @property
    def has_value_inodes(self) -> bool:
        """Whether values of extended attributes may be in inodes of their own."""
        return bool(self.incompat & _EA_INODE)

    def sum(self, *parts: bytes) -> int:
        """Return the checksum over `parts`; there must be any."""
        crc = self.seed or 0  # All sums of a file system without them are as good as any.
        for part in parts:
            crc = extend(crc, part)
        return crc ^ 0xFFFFFFFF

    def has_superblock(self, group: int) -> bool:
        """Tell whether a group begins with a superblock, or with a copy of it."""
        if group == 0:
            return True
        if self.backups is not None:
            return group in self.backups
        if group == 1 or not self.sparse:
            return True
        return any(_is_power(group, base) for base in (3, 5, 7))


def read_superblock(volume: Volume) -> Superblock:
    """Read the superblock of a disk; raises DiskMalformed for one that is none, or of which too little is known."""
    data = volume.read(_POSITION, _SIZE, _WHERE)
    if unpack_from("<H", data, 0x38)[0] != 0xEF53:
        raise DiskMalformed(_WHERE, "is none of ext4")
    compat, incompat, ro_compat = unpack_from("<III", data, 0x5C)
    if unpack_from("<I", data, 0x4C)[0] == 0:
        compat = incompat = ro_compat = 0
    if unknown := incompat & ~_KNOWN:
        if unknown == _RECOVER:
            reason = "its journal holds what its files lack; unmount it, or if it is not mounted, run e2fsck -fp"
            raise DiskMalformed(_WHERE, reason)
        raise DiskMalformed(_WHERE, f"has features of which nothing is known here ({unknown:#x})")
    _check_linux_mounts(data, compat, incompat)
    superblock = _facts(data, compat, incompat, ro_compat)
    if superblock.seed is not None and extend(0, data[:0x3FC]) ^ 0xFFFFFFFF != unpack_from("<I", data, 0x3FC)[0]:
        raise DiskMalformed(_WHERE, "its checksum is wrong")
    volume.check(0, superblock.blocks * superblock.block_size, _WHERE)
    return superblock


def _check_linux_mounts(data: bytes, compat: int, incompat: int) -> None:
    """Raise DiskMalformed for what e2fsck passes, and Linux refuses (ext4_hash_info_init, ext4_hurd_incompat)."""
    hash = data[0xFC]
    if compat & _INDEXES and hash > (_SIPHASH if incompat & _CASELESS else _LAST_HASH):
        raise DiskMalformed(_WHERE, f"names a hash of directories that Linux does not know ({hash})")
    if unpack_from("<I", data, 0x48)[0] == _HURD and incompat & (_64BIT | _EA_INODE):
        raise DiskMalformed(_WHERE, "is the Hurd's, with features that Linux does not take from it")


def _facts(data: bytes, compat: int, incompat: int, ro_compat: int) -> Superblock:
    inodes, blocks = _COUNTS.unpack_from(data, 0)
    first_block, log_block, log_cluster, blocks_per_group, _, inodes_per_group = _FIRST.unpack_from(data, 0x14)
    revision = unpack_from("<I", data, 0x4C)[0]
    first_inode, inode_size = (11, 128) if revision == 0 else unpack_from("<IH", data, 0x54)
    descriptor_size = unpack_from("<H", data, 0xFE)[0] if incompat & _64BIT else 32
    if incompat & _64BIT:
        blocks |= unpack_from("<I", data, 0x150)[0] << 32
    if log_block > 6 or not log_block <= log_cluster <= 30:
        raise DiskMalformed(_WHERE, "its blocks have no size that ext4 knows")
    size = 1024 << log_block
    if not (128 <= inode_size <= size and inode_size & (inode_size - 1) == 0):
        raise DiskMalformed(_WHERE, f"its inodes have {inode_size} bytes")
    if not (32 <= descriptor_size <= size and descriptor_size & (descriptor_size - 1) == 0):
        raise DiskMalformed(_WHERE, f"its group descriptors have {descriptor_size} bytes")
    if not (inodes_per_group > 0 and blocks_per_group > 0 and first_block < min(blocks, 2) and inodes > 0):
        raise DiskMalformed(_WHERE, "its groups are empty")
    groups = -(-(blocks - first_block) // blocks_per_group)
    if groups * inodes_per_group < inodes:
        raise DiskMalformed(_WHERE, f"has {inodes} inodes, and its {groups} groups do not hold as many")
    seed = None
    if ro_compat & _CHECKSUMS:
        given = unpack_from("<I", data, 0x270)[0] ^ 0xFFFFFFFF
        seed = given if incompat & _CHECKSUM_SEED else extend(0, data[0x68:0x78])
    return Superblock(
        block_size=size,
        blocks=blocks,
        inodes=inodes,
        first_inode=first_inode,
        inode_size=inode_size,
        inodes_per_group=inodes_per_group,
        blocks_per_group=blocks_per_group,
        first_block=first_block,
        sectors_per_cluster=(1024 << log_cluster) // 512,
        descriptor_size=descriptor_size,
        first_meta_group=unpack_from("<I", data, 0x104)[0] if incompat & _META_BG else 2**32,
        backups=unpack_from("<II", data, 0x24C) if compat & _SPARSE_GROUPS_2 else None,
        sparse=bool(ro_compat & _SPARSE_GROUPS),
        incompat=incompat,
        seed=seed,
    )


def inode_table(volume: Volume, superblock: Superblock, group: int) -> int:
    """Return the number of the block with which the inodes of a group begin."""
    where = f"the descriptor of group {group}"
    size = superblock.descriptor_size
    per_block = superblock.block_size // size
    # Behind the superblock's block, which need not be where blocks begin to be counted: with clusters that is 0.
    adjusted = int(superblock.block_size == _POSITION) - superblock.first_block
    position = (superblock.first_block + adjusted + 1) * superblock.block_size + group * size
    if group // per_block >= superblock.first_meta_group:
        first = group // per_block * per_block
        block = superblock.first_block + first * superblock.blocks_per_group + superblock.has_superblock(first)
        block += adjusted if first == 0 else 0
        position = block * superblock.block_size + group % per_block * size
    data = volume.read(position, size, where)
    if superblock.seed is not None:
        expected = superblock.sum(pack("<I", group), data[:0x1E], bytes(2), data[0x20:]) & 0xFFFF
        if expected != unpack_from("<H", data, 0x1E)[0]:
            raise DiskMalformed(where, "its checksum is wrong")
    high = unpack_from("<I", data, 0x28)[0] if size >= 64 else 0
    table: int = unpack_from("<I", data, 0x8)[0] | high << 32
    return table


def _is_power(number: int, base: int) -> bool:
    while number % base == 0:
        number //= base
    return number == 1
