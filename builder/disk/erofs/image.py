"""An erofs image as mkfs.erofs left it, opened to change what it was not told.

Offsets: the kernel's fs/erofs/erofs_fs.h. Only extended inodes (64 bytes) and attributes behind them are understood.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct, pack_into, unpack_from
from uuid import UUID

from google_crc32c import value as crc32c

from builder.disk.erofs.layout import (
    BLOCK,
    DIRENT,
    EXTENDED,
    FLAT_INLINE,
    FLAT_PLAIN,
    INODE_SIZE,
    SLOT,
    encode_xattrs,
)
from builder.errors import BuilderError, MissingRequirement
from builder.exact import read_at, read_up_to, write_at
from builder.tree.nodes import Directory, File, full_mode

SUPERBLOCK, _SUPERBLOCK_SIZE = 1024, 128
_MAGIC = (0xE0F5E1E2).to_bytes(4, "little")
_BLOCK_BITS = 12
_CHECKSUM_FEATURE = 1

# i_format, i_xattr_icount, i_mode, i_nb, i_size, i_u
_INODE = Struct("<HHHHQI")
_FORMAT, _SIZE_AND_BLOCK, _TIME = Struct("<H"), Struct("<QI"), Struct("<qI")


def is_superblock(data: bytes | bytearray) -> bool:
    """Tell whether this begins with an erofs superblock."""
    return data[: len(_MAGIC)] == _MAGIC


@dataclass(frozen=True, slots=True)
class Inode:
    """Where an inode is in the image and what mkfs.erofs put there; all in bytes."""

    position: int
    layout: int
    xattr_size: int
    size: int
    data: int

    @property
    def tail(self) -> int:
        """Where the last block's data is if it stands behind the inode."""
        return self.position + INODE_SIZE + self.xattr_size


class ErofsImage:
    """An image, open as `fd`, that is edited in place. `end` is its size in bytes, whole blocks."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.end = os.fstat(fd).st_size
        self._superblock = bytearray(read_up_to(fd, _SUPERBLOCK_SIZE, SUPERBLOCK))
        whole = self.end and self.end % BLOCK == 0
        if not whole or not is_superblock(self._superblock) or self._superblock[12] != _BLOCK_BITS:
            raise MissingRequirement("mkfs.erofs ended well and made no erofs image: install a working erofs-utils")
        self._metadata = self._number(40, 4) * BLOCK

    @property
    def root(self) -> int:
        """The number of the root directory's inode."""
        return self._number(14, 2)

    @property
    def packed(self) -> int:
        """The number of the hidden inode that holds all fragments, or 0."""
        return self._number(96, 8)

    def number_at(self, position: int) -> int:
        """Return the number of an inode by its position in bytes."""
        return (position - self._metadata) // SLOT

    def inode(self, nid: int) -> Inode:
        """Read an inode."""
        position = self._metadata + nid * SLOT
        form, xattrs, _, _, size, block = _INODE.unpack(read_at(self.fd, _INODE.size, position))
        if not form & EXTENDED:
            raise BuilderError(f"mkfs.erofs wrote a compact inode (number {nid}), which holds no time")
        return Inode(position, form >> 1 & 7, 12 + 4 * (xattrs - 1) if xattrs else 0, size, block * BLOCK)

    def entries(self, directory: Inode) -> Iterator[tuple[bytes, int]]:
        """Yield (name, number of the inode) for the entries of a directory, without `.` and `..`."""
        for start, size in self._blocks(directory):
            block = read_at(self.fd, size, start)
            (first,) = unpack_from("<H", block, 8)
            heads = [DIRENT.unpack_from(block, at) for at in range(0, first, DIRENT.size)]
            ends = [*(offset for _, offset, _ in heads[1:]), size]
            for (nid, offset, _), end in zip(heads, ends, strict=True):
                # Only the last name of a block may have zeros behind it.
                name = block[offset:end].rstrip(b"\0")
                if name not in (b".", b".."):
                    yield name, nid

    def restate(self, inode: Inode, node: File | Directory, links: int) -> None:
        """Give an inode the metadata of `node`, whose extended attributes take exactly as much room as those it has."""
        xattrs = encode_xattrs(node.xattrs)
        if len(xattrs) != inode.xattr_size:
            raise BuilderError(f"mkfs.erofs left {inode.xattr_size} bytes for {len(xattrs)} of extended attributes")
        head = bytearray(read_at(self.fd, INODE_SIZE, inode.position))
        pack_into("<H", head, 4, full_mode(node))
        pack_into("<IIqI", head, 24, node.uid, node.gid, *divmod(node.mtime_ns, 10**9))
        pack_into("<I", head, 44, links)
        write_at(self.fd, head + xattrs, inode.position)

    def set_mtime(self, inode: Inode, mtime_ns: int) -> None:
        """Set an inode's time."""
        write_at(self.fd, _TIME.pack(*divmod(mtime_ns, 10**9)), inode.position + 32)

    def erase(self, directory: Inode) -> None:
        """Leave nothing of a directory that mkfs.erofs made: nobody will refer to it."""
        self._erase_data(directory)
        write_at(self.fd, bytes(directory.tail - directory.position), directory.position)

    def replace(self, directory: Inode, data: bytes, position: int) -> None:
        """Give a directory other entries than those which mkfs.erofs gave it, at a position where nothing is."""
        self._erase_data(directory)
        write_at(self.fd, data, position)
        write_at(self.fd, _FORMAT.pack(EXTENDED | FLAT_PLAIN << 1), directory.position)
        write_at(self.fd, _SIZE_AND_BLOCK.pack(len(data), position // BLOCK), directory.position + 8)

    def finish(self, uuid: UUID, label: bytes, epoch: int, inodes: int) -> None:
        """Set the superblock: UUID, label (15 bytes at most), time, sizes, and the checksum over the first block."""
        os.ftruncate(self.fd, self.end)
        pack_into("<QQII", self._superblock, 16, inodes, epoch, 0, self.end // BLOCK)
        self._superblock[48:80] = uuid.bytes + label.ljust(16, b"\0")
        pack_into("<I", self._superblock, 4, 0)
        if self._number(8, 4) & _CHECKSUM_FEATURE:
            # Inodes may follow within the block. The checksum is stored without the final inversion.
            behind = SUPERBLOCK + _SUPERBLOCK_SIZE
            block = bytes(self._superblock) + read_at(self.fd, BLOCK - behind, behind)
            pack_into("<I", self._superblock, 4, crc32c(block) ^ 0xFFFFFFFF)
        write_at(self.fd, self._superblock, SUPERBLOCK)

    def _erase_data(self, directory: Inode) -> None:
        for start, size in self._blocks(directory):
            write_at(self.fd, bytes(size), start)

    def _blocks(self, directory: Inode) -> Iterator[tuple[int, int]]:
        """Yield (position, size) of each block of a directory; the last one may stand behind the inode."""
        rest = directory.size % BLOCK
        for offset in range(0, directory.size - rest, BLOCK):
            yield directory.data + offset, BLOCK
        if rest:
            yield directory.tail if directory.layout == FLAT_INLINE else directory.data + directory.size - rest, rest

    def _number(self, offset: int, size: int) -> int:
        return int.from_bytes(self._superblock[offset : offset + size], "little")
