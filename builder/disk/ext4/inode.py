"""An inode of 256 bytes (kernel documentation, filesystems/ext4/inodes; fs/ext4/ext4.h: struct ext4_inode)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from uuid import UUID

from builder.disk.ext4.layout import checksum
from builder.disk.ext4.plan import FAST_TARGET
from builder.disk.numbering import encode_device
from builder.tree.nodes import Device, Fifo, Node, Symlink, full_mode

_EXTRA_SIZE = 32

# Mode, uid, size, atime, ctime, mtime, dtime, gid, links, blocks, flags, version; block map; generation, file_acl,
# size_high, faddr, blocks_high, file_acl_high, uid_high, gid_high, checksum_lo, reserved; extra_isize, checksum_hi,
# ctime_extra, mtime_extra, atime_extra, crtime, crtime_extra, version_hi, projid; xattrs.
_INODE = struct.Struct("<HHIIIIIHHIII60sIIIIHHHHHHHHIIIIIII96s")
_CHECKSUM_LOW, _CHECKSUM_HIGH = 0x7C, 0x82

_EXTENTS_FLAG = 0x80000
_INDEX_FLAG = 0x1000
_SECTORS_PER_BLOCK = 8
_NO_BLOCK_MAP = bytes(60)
_EMPTY_EXTENT_TREE = struct.pack("<HHHHI", 0xF30A, 0, 4, 0, 0).ljust(60, b"\0")

# 34 bits of seconds, of which the lowest 32 are signed.
MIN_TIME = -(2**31) * 10**9
MAX_TIME = (2**34 - 2**31) * 10**9 - 1


@dataclass(frozen=True, slots=True)
class Storage:
    """Where an inode's content is: `size` in bytes, how many `blocks` it takes, and the root of its extent tree.

    A directory may be `indexed`.
    """

    size: int
    blocks: int
    block_map: bytes
    indexed: bool = False


NOTHING = Storage(0, 0, _EMPTY_EXTENT_TREE)


def read_block_map(inode: bytes) -> bytes:
    """Return the root of an inode's extent tree."""
    block_map: bytes = _INODE.unpack(inode)[12]
    return block_map


def file_system_time(time_ns: int) -> int:
    """Return the time nearest to `time_ns` that ext4 can hold."""
    return min(max(time_ns, MIN_TIME), MAX_TIME)


def encode_inode(number: int, node: Node, links: int, storage: Storage, xattrs: tuple[bytes, int], uuid: UUID) -> bytes:
    """Return inode `number` as `node` wants it, its content at `storage`.

    All four times are the modification time: nothing else is known, and nothing of this machine may show.
    `xattrs` are those inside the inode, and the number of the block with the others or 0.
    """
    size, block_map = storage.size, storage.block_map
    flags = _EXTENTS_FLAG | (_INDEX_FLAG if storage.indexed else 0)
    if isinstance(node, Symlink) and len(node.target) <= FAST_TARGET:
        size, block_map, flags = len(node.target), node.target, 0
    elif isinstance(node, Device):
        block_map, flags = _device(node.major, node.minor), 0
    elif isinstance(node, Fifo):
        block_map, flags = _NO_BLOCK_MAP, 0
    xattr_body, xattr_block = xattrs
    sectors = (storage.blocks + (xattr_block != 0)) * _SECTORS_PER_BLOCK
    seconds, nanoseconds = divmod(file_system_time(node.mtime_ns), 10**9)
    low = seconds & 0xFFFFFFFF
    # The lowest 32 bits count as signed; two more say how often 2^32 seconds are to be added to them.
    extra = nanoseconds << 2 | (seconds + 2**31 >> 32)
    inode = bytearray(
        _INODE.pack(
            full_mode(node),
            node.uid & 0xFFFF,
            size & 0xFFFFFFFF,
            low,
            low,
            low,
            0,
            node.gid & 0xFFFF,
            links,
            sectors & 0xFFFFFFFF,
            flags,
            0,
            block_map,
            0,
            xattr_block & 0xFFFFFFFF,
            size >> 32,
            0,
            sectors >> 32,
            xattr_block >> 32,
            node.uid >> 16,
            node.gid >> 16,
            0,
            0,
            _EXTRA_SIZE,
            0,
            extra,
            extra,
            extra,
            low,
            extra,
            0,
            0,
            xattr_body,
        )
    )
    crc = checksum((uuid.bytes, struct.pack("<II", number, 0), bytes(inode)))
    struct.pack_into("<H", inode, _CHECKSUM_LOW, crc & 0xFFFF)
    struct.pack_into("<H", inode, _CHECKSUM_HIGH, crc >> 16)
    return bytes(inode)


def _device(major: int, minor: int) -> bytes:
    """Return a device's numbers in place of a block map: in the old form where they fit, else in the new one."""
    if major < 256 and minor < 256:
        return struct.pack("<II", major << 8 | minor, 0)
    return struct.pack("<II", 0, encode_device(major, minor))
