"""A directory's content: blocks of entries (kernel documentation, filesystems/ext4/directory, "Linear").

Every inode number is known beforehand (see plan.py), so directories are written like files.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from uuid import UUID

from builder.disk.ext4.layout import BLOCK_SIZE, checksum
from builder.disk.numbering import FT_DIRECTORY

_ENTRY = struct.Struct("<IHBB")
# ext4_dir_entry_tail: an entry of inode 0 and type 0xDE that hides the block's checksum from older readers.
_TAIL = struct.Struct("<IHBBI")

# What a block has for entries, in bytes.
ROOM = BLOCK_SIZE - _TAIL.size

# Name, inode number, file type.
Entry = tuple[bytes, int, int]


def entry_size(name: bytes) -> int:
    """Return how many bytes the entry of a name takes."""
    return _ENTRY.size + -(-len(name) // 4) * 4


def block_count(names: Sequence[bytes]) -> int:
    """Return how many blocks a directory with entries of these `names`, in their order, has."""
    blocks, room = 1, ROOM - entry_size(b".") - entry_size(b"..")
    if sum(map(len, names)) + len(names) * (_ENTRY.size + 3) <= room:
        # Nearly all directories, at once: what is added to a name is 3 bytes at most.
        return 1
    for name in names:
        size = entry_size(name)
        if size > room:
            blocks, room = blocks + 1, ROOM
        room -= size
    return blocks


def directory_blocks(number: int, parent: int, children: Iterable[Entry], uuid: UUID) -> bytes:
    """Return the blocks of directory `number` with its `children`, in their order."""
    return entry_blocks([(b".", number, FT_DIRECTORY), (b"..", parent, FT_DIRECTORY), *children], number, uuid)


def entry_blocks(entries: Iterable[Entry], number: int, uuid: UUID) -> bytes:
    """Return blocks of directory `number` that hold these `entries`, in their order."""
    blocks = bytearray()
    block = bytearray()
    last = 0
    for name, inode, kind in entries:
        size = entry_size(name)
        if len(block) + size > ROOM:
            blocks += _closed(block, last, number, uuid)
            block = bytearray()
        last = len(block)
        block += _ENTRY.pack(inode, size, len(name), kind)
        block += name.ljust(size - _ENTRY.size, b"\0")
    blocks += _closed(block, last, number, uuid)
    return bytes(blocks)


def _closed(block: bytearray, last: int, number: int, uuid: UUID) -> bytes:
    """Fill a block up: its last entry, at `last`, owns all the room that is left before the tail."""
    struct.pack_into("<H", block, last + 4, ROOM - last)
    entries = bytes(block.ljust(ROOM, b"\0"))
    # The zero is the inode's generation.
    return entries + _TAIL.pack(0, _TAIL.size, 0, 0xDE, checksum((uuid.bytes, struct.pack("<II", number, 0), entries)))
