"""What an image says about each block group (kernel documentation, filesystems/ext4/group_descr)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from uuid import UUID

from builder.disk.ext4.layout import checksum

INODE_UNINIT = 0x1
BLOCK_UNINIT = 0x2

# Block bitmap, inode bitmap, inode table; free blocks, free inodes, directories, flags; exclude bitmap; checksums of
# the bitmaps, unused inodes, checksum; then the upper halves. A group has at most 32768 blocks and as many inodes, so
# those of the counts are zero.
_DESCRIPTOR = struct.Struct("<IIIHHHHIHHHHIIIHHHHIHHI")
_CHECKSUM_OFFSET = 0x1E


@dataclass(slots=True)
class Descriptor:
    """Where a group's bitmaps and inode table are, in blocks, and what is free in it."""

    block_bitmap: int
    inode_bitmap: int
    inode_table: int
    free_blocks: int
    free_inodes: int
    directories: int
    flags: int
    unused_inodes: int
    block_bitmap_checksum: int
    inode_bitmap_checksum: int

    def encode(self, group: int, uuid: UUID) -> bytes:
        """Return the descriptor as it is stored for `group`."""
        descriptor = bytearray(
            _DESCRIPTOR.pack(
                self.block_bitmap & 0xFFFFFFFF,
                self.inode_bitmap & 0xFFFFFFFF,
                self.inode_table & 0xFFFFFFFF,
                self.free_blocks,
                self.free_inodes,
                self.directories,
                self.flags,
                0,
                self.block_bitmap_checksum & 0xFFFF,
                self.inode_bitmap_checksum & 0xFFFF,
                self.unused_inodes,
                0,
                self.block_bitmap >> 32,
                self.inode_bitmap >> 32,
                self.inode_table >> 32,
                *(0, 0, 0, 0, 0),
                self.block_bitmap_checksum >> 16,
                self.inode_bitmap_checksum >> 16,
                0,
            )
        )
        crc = checksum((uuid.bytes, struct.pack("<I", group), bytes(descriptor)))
        struct.pack_into("<H", descriptor, _CHECKSUM_OFFSET, crc & 0xFFFF)
        return bytes(descriptor)


DESCRIPTOR_SIZE = _DESCRIPTOR.size


def decode_descriptors(table: bytes) -> list[Descriptor]:
    """Take a table of descriptors apart."""
    return [
        Descriptor(
            block_bitmap=fields[0] | fields[12] << 32,
            inode_bitmap=fields[1] | fields[13] << 32,
            inode_table=fields[2] | fields[14] << 32,
            free_blocks=fields[3],
            free_inodes=fields[4],
            directories=fields[5],
            flags=fields[6],
            unused_inodes=fields[10],
            block_bitmap_checksum=fields[8] | fields[20] << 16,
            inode_bitmap_checksum=fields[9] | fields[21] << 16,
        )
        for fields in _DESCRIPTOR.iter_unpack(table)
    ]
