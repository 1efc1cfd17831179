"""A directory's content: blocks of entries (kernel documentation, filesystems/ext4/directory, "Linear").

Every inode number is known beforehand (see plan.py), so directories are written like files.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from uuid import UUID

from builder.disk.ext4.layout import BLOCK_SIZE, checksum
from builder.disk.numbering import FT_DIRECTORY

_ENTRY = struct.Struct("<IHBB")
# ext4_dir_entry_tail: an entry of inode 0 and type 0xDE that hides the block's checksum from older readers.
_TAIL = struct.Struct("<IHBBI")
_ROOM = BLOCK_SIZE - _TAIL.size


def block_count(names: Iterable[bytes]) -> int:
    """Return how many blocks a directory with entries of these `names`, in their order, has."""
    blocks, room = 1, _ROOM - 2 * (_ENTRY.size + 4)  # `.` and `..`
    for name in names:
        size = _entry_size(name)
        if size > room:
            blocks, room = blocks + 1, _ROOM
        room -= size
    return blocks


def directory_blocks(number: int, parent: int, children: Iterable[tuple[bytes, int, int]], uuid: UUID) -> bytes:
    """Return the blocks of directory `number` with its `children`: (name, inode number, file type)."""
    entries = [(b".", number, FT_DIRECTORY), (b"..", parent, FT_DIRECTORY), *children]
    blocks = bytearray()
    block = bytearray()
    last = 0
    for name, inode, kind in entries:
        length = len(name)
        size = _entry_size(name)
        if len(block) + size > _ROOM:
            blocks += _closed(block, last, number, uuid)
            block = bytearray()
        last = len(block)
        block += _ENTRY.pack(inode, size, length, kind)
        block += name.ljust(size - _ENTRY.size, b"\0")
    blocks += _closed(block, last, number, uuid)
    return bytes(blocks)


def _entry_size(name: bytes) -> int:
    return _ENTRY.size + -(-len(name) // 4) * 4


def _closed(block: bytearray, last: int, number: int, uuid: UUID) -> bytes:
    """Fill a block up: its last entry, at `last`, owns all the room that is left before the tail."""
    struct.pack_into("<H", block, last + 4, _ROOM - last)
    entries = bytes(block.ljust(_ROOM, b"\0"))
    # The zero is the inode's generation.
    return entries + _TAIL.pack(0, _TAIL.size, 0, 0xDE, checksum((uuid.bytes, struct.pack("<II", number, 0), entries)))
