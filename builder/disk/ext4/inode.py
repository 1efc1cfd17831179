"""An inode of 256 bytes (kernel documentation, filesystems/ext4/inodes; fs/ext4/ext4.h: struct ext4_inode)."""

from __future__ import annotations

import struct

from msgspec import Struct

from builder.disk.ext4.layout import seeded_checksum
from builder.disk.ext4.plan import FAST_TARGET
from builder.disk.numbering import encode_device
from builder.tree.nodes import Device, Fifo, Node, Symlink, full_mode

# Mode, uid, size, atime, ctime, mtime, (dtime,) gid, links, blocks, flags, (version,) block map, (generation,)
# file_acl, size_high, (faddr,) blocks_high, file_acl_high, uid_high, gid_high. What is in brackets is always 0.
_FRONT = struct.Struct("<HHIIII4xHHII4x60s4xII4xHHHH")
# checksum_lo, reserved, extra_isize, checksum_hi.
_SEAL = struct.Struct("<HHHH")
# ctime_extra, mtime_extra, atime_extra, crtime, crtime_extra, (version_hi, projid,) xattrs.
_BACK = struct.Struct("<IIIII8x96s")
_NUMBER = struct.Struct("<II")

_EXTRA_SIZE = 32
_UNSEALED = _SEAL.pack(0, 0, _EXTRA_SIZE, 0)
_BLOCK_MAP = slice(0x28, 0x64)

_EXTENTS_FLAG = 0x80000
_INDEX_FLAG = 0x1000
_SECTORS_PER_BLOCK = 8
_NO_BLOCK_MAP = bytes(60)
_EMPTY_EXTENT_TREE = struct.pack("<HHHHI", 0xF30A, 0, 4, 0, 0).ljust(60, b"\0")

# 34 bits of seconds, of which the lowest 32 are signed.
MIN_TIME = -(2**31) * 10**9
MAX_TIME = (2**34 - 2**31) * 10**9 - 1


class Storage(Struct, frozen=True, gc=False):
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
    return inode[_BLOCK_MAP]


def file_system_time(time_ns: int) -> int:
    """Return the time nearest to `time_ns` that ext4 can hold."""
    return time_ns if MIN_TIME <= time_ns <= MAX_TIME else MIN_TIME if time_ns < MIN_TIME else MAX_TIME


def encode_inode(number: int, node: Node, links: int, storage: Storage, xattrs: tuple[bytes, int], seed: int) -> bytes:
    """Return inode `number` as `node` wants it, its content at `storage`.

    All four times are the modification time: nothing else is known, and nothing of this machine may show.
    `xattrs` are those inside the inode, and the number of the block with the others or 0; `seed` is the file system's.
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
    front = _FRONT.pack(
        full_mode(node), node.uid & 0xFFFF, size & 0xFFFFFFFF, low, low, low, node.gid & 0xFFFF, links,
        sectors & 0xFFFFFFFF, flags, block_map, xattr_block & 0xFFFFFFFF, size >> 32,
        sectors >> 32, xattr_block >> 32, node.uid >> 16, node.gid >> 16,
    )  # fmt: skip
    back = _BACK.pack(extra, extra, extra, low, extra, xattr_body)
    # The zero is the inode's generation.
    crc = seeded_checksum(seed, _NUMBER.pack(number, 0) + front + _UNSEALED + back)
    return front + _SEAL.pack(crc & 0xFFFF, 0, _EXTRA_SIZE, crc >> 16) + back


def _device(major: int, minor: int) -> bytes:
    """Return a device's numbers in place of a block map: in the old form where they fit, else in the new one."""
    if major < 256 and minor < 256:
        return struct.pack("<II", major << 8 | minor, 0)
    return struct.pack("<II", 0, encode_device(major, minor))
