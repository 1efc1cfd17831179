"""An erofs image as mkfs.erofs left it, opened to write what it was not told.

Offsets: the kernel's fs/erofs/erofs_fs.h. Only extended inodes (64 bytes) and attributes behind them are understood.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path
from struct import Struct, pack_into
from uuid import UUID

from google_crc32c import value as crc32c

from builder.disk.erofs.layout import BLOCK, DIRENT, EXTENDED, FLAT_INLINE, FLAT_PLAIN, INODE_SIZE, SLOT, encode_xattrs
from builder.errors import BuilderError
from builder.tree.nodes import Content
from builder.tree.spool import Spool

_SUPERBLOCK = 1024
_MAGIC = 0xE0F5E1E2
_CHECKSUM_FEATURE = 1
# Block addresses have 32 bits; the last one means none.
_NO_BLOCK = 0xFFFFFFFF

# i_format, i_xattr_icount, i_mode, i_nb, i_size, i_u
_INODE = Struct("<HHHHQI")

Data = bytes | Content


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
    """An image that is edited in place and appended to; see `opened`. `end` is its size in bytes, whole blocks."""

    def __init__(self, memory: mmap, fd: int, spool: Spool) -> None:
        self._memory = memory
        self._fd = fd
        self._spool = spool
        self.end = len(memory)
        if self._number(_SUPERBLOCK, 4) != _MAGIC or memory[_SUPERBLOCK + 12] != 12:
            raise BuilderError("mkfs.erofs wrote no erofs image with 4096-byte blocks")
        self._metadata = self._number(_SUPERBLOCK + 40, 4) * BLOCK

    @property
    def root(self) -> int:
        """The number of the root directory's inode."""
        return self._number(_SUPERBLOCK + 14, 2)

    @property
    def packed(self) -> int:
        """The number of the hidden inode that holds all fragments, or 0."""
        return self._number(_SUPERBLOCK + 96, 8)

    def number_at(self, position: int) -> int:
        """Return the number of an inode by its position in bytes."""
        return (position - self._metadata) // SLOT

    def inode(self, nid: int) -> Inode:
        """Read an inode."""
        position = self._metadata + nid * SLOT
        form, xattrs, _, _, size, block = _INODE.unpack_from(self._memory, position)
        if not form & EXTENDED:
            raise BuilderError(f"mkfs.erofs wrote a compact inode (number {nid}), which holds no time")
        return Inode(position, form >> 1 & 7, 12 + 4 * (xattrs - 1) if xattrs else 0, size, block * BLOCK)

    def entries(self, directory: Inode) -> Iterator[tuple[bytes, int]]:
        """Yield (name, number of the inode) for the entries of a directory, without `.` and `..`."""
        for start, end in self._blocks(directory):
            first = self._number(start + 8, 2)
            heads = [DIRENT.unpack_from(self._memory, start + offset) for offset in range(0, first, DIRENT.size)]
            ends = [*(start + offset for _, offset, _ in heads[1:]), end]
            for (nid, offset, _), stop in zip(heads, ends, strict=True):
                # Only the last name of a block may have zeros behind it.
                name = self._memory[start + offset : stop].rstrip(b"\0")
                if name not in (b".", b".."):
                    yield name, nid

    def set_metadata(self, inode: Inode, mode: int, uid: int, gid: int, links: int) -> None:
        """Set what every inode has; `mode` with the type bits."""
        pack_into("<H", self._memory, inode.position + 4, mode)
        pack_into("<II", self._memory, inode.position + 24, uid, gid)
        pack_into("<I", self._memory, inode.position + 44, links)

    def set_mtime(self, inode: Inode, mtime_ns: int) -> None:
        """Set an inode's time."""
        pack_into("<qI", self._memory, inode.position + 32, *divmod(mtime_ns, 10**9))

    def set_xattrs(self, inode: Inode, xattrs: Mapping[bytes, bytes]) -> None:
        """Replace an inode's extended attributes by others that take exactly as much room."""
        body = encode_xattrs(xattrs)
        if len(body) != inode.xattr_size:
            raise BuilderError(f"mkfs.erofs left {inode.xattr_size} bytes for {len(body)} of extended attributes")
        self._memory[inode.position + INODE_SIZE : inode.tail] = body

    def write(self, position: int, data: bytes) -> None:
        """Write to where no other data is, behind what mkfs.erofs wrote."""
        os.pwrite(self._fd, data, position)

    def read(self, data: Data, start: int) -> bytes:
        """Return data from `start` on; for less than a block."""
        if isinstance(data, bytes):
            return data[start:]
        return os.pread(self._spool.fd, data.size - start, data.offset + start)

    def append(self, data: Data, size: int) -> int:
        """Append the first `size` bytes of data, holes as holes, and return the number of their first block."""
        position = self.end
        if isinstance(data, bytes):
            os.pwrite(self._fd, data[:size], position)
        else:
            self._copy(Content(data.offset, size), position)
        self.end += -(-size // BLOCK) * BLOCK
        if self.end // BLOCK >= _NO_BLOCK:
            raise BuilderError("the image needs an erofs disk of more than 16 TiB, holes included: build it as ext4")
        return position // BLOCK

    def erase(self, directory: Inode) -> None:
        """Leave nothing of a directory that mkfs.erofs made: nobody will refer to it."""
        self._erase_data(directory)
        self._memory[directory.position : directory.tail] = bytes(directory.tail - directory.position)

    def replace(self, directory: Inode, data: bytes) -> None:
        """Give a directory other entries than those which mkfs.erofs gave it."""
        self._erase_data(directory)
        pack_into("<H", self._memory, directory.position, EXTENDED | FLAT_PLAIN << 1)
        pack_into("<QI", self._memory, directory.position + 8, len(data), self.append(data, len(data)))

    def finish(self, uuid: UUID, label: bytes, epoch: int, inodes: int) -> None:
        """Set the superblock: UUID, label (15 bytes at most), time, sizes, and the checksum over the first block."""
        here = _SUPERBLOCK
        os.ftruncate(self._fd, self.end)
        pack_into("<QQII", self._memory, here + 16, inodes, epoch, 0, self.end // BLOCK)
        self._memory[here + 48 : here + 64] = uuid.bytes
        self._memory[here + 64 : here + 80] = label.ljust(16, b"\0")
        pack_into("<I", self._memory, here + 4, 0)
        if self._number(here + 8, 4) & _CHECKSUM_FEATURE:
            # The checksum is stored without the final inversion.
            pack_into("<I", self._memory, here + 4, crc32c(self._memory[here:BLOCK]) ^ 0xFFFFFFFF)

    def _erase_data(self, directory: Inode) -> None:
        for start, end in self._blocks(directory):
            self._memory[start:end] = bytes(end - start)

    def _copy(self, content: Content, position: int) -> None:
        shift = position - content.offset
        for found, length in self._spool.data(content):
            os.lseek(self._fd, found + shift, os.SEEK_SET)
            while length:
                copied = os.sendfile(self._fd, self._spool.fd, found, length)
                found, length = found + copied, length - copied

    def _blocks(self, directory: Inode) -> Iterator[tuple[int, int]]:
        """Yield (start, end) in the image of each block of a directory; the last one may stand behind the inode."""
        rest = directory.size % BLOCK
        for offset in range(0, directory.size - rest, BLOCK):
            yield directory.data + offset, directory.data + offset + BLOCK
        if rest:
            last = directory.tail if directory.layout == FLAT_INLINE else directory.data + directory.size - rest
            yield last, last + rest

    def _number(self, position: int, size: int) -> int:
        return int.from_bytes(self._memory[position : position + size], "little")


@contextmanager
def opened(image: Path, spool: Spool) -> Iterator[ErofsImage]:
    """Map an image for editing; content comes from `spool`."""
    fd = os.open(image, os.O_RDWR | os.O_CLOEXEC)
    try:
        with mmap(fd, 0) as memory:
            yield ErofsImage(memory, fd, spool)
    finally:
        os.close(fd)
