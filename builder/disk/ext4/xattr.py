"""Extended attributes as ext4 keeps them: some in the inode, the others in one block.

Format: kernel documentation, filesystems/ext4/attributes; fs/ext4/xattr.c and acl.c.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from builder.disk.ext4.layout import BLOCK_SIZE, checksum
from builder.disk.numbering import split_xattr
from builder.errors import TreeRefused
from builder.linux import ACL_NAMED, ACLS, MAX_XATTR_NAME
from builder.words import quoted

# What 256-byte inodes have left behind their 160 bytes of fields.
BODY_SIZE = 96

_MAGIC = struct.pack("<I", 0xEA020000)
_ENTRY = struct.Struct("<BBHIII")
_BLOCK_HEADER = struct.Struct("<IIIII12x")
_USERS_OFFSET, _CHECKSUM_OFFSET = 4, 16
_ACL_ENTRY = struct.Struct("<HHI")


@dataclass(frozen=True, slots=True)
class _Xattr:
    index: int
    name: bytes
    value: bytes

    @property
    def entry_size(self) -> int:
        return _ENTRY.size + _padded(len(self.name))

    @property
    def size(self) -> int:
        return self.entry_size + _padded(len(self.value))


def encode_xattrs(path: bytes, xattrs: Mapping[bytes, bytes]) -> tuple[bytes, bytes | None]:
    """Return the part of the xattrs that the inode itself holds, and a block with the others if there are any.

    The block counts no users and has no checksum yet (see `seal_block`).
    Raises TreeRefused, for the node at `path`, where ext4 has no such namespace or not enough room.
    """
    known = [_parse(path, name, value) for name, value in sorted(xattrs.items())]
    body: list[_Xattr] = []
    block: list[_Xattr] = []
    body_room = BODY_SIZE - len(_MAGIC) - 4  # four zero bytes end a list
    block_room = BLOCK_SIZE - _BLOCK_HEADER.size - 4
    # The smallest first: the inode then holds as many as it can.
    for xattr in sorted(known, key=lambda xattr: (xattr.size, xattr.index, xattr.name)):
        if xattr.size <= body_room:
            body.append(xattr)
            body_room -= xattr.size
        else:
            block.append(xattr)
            block_room -= xattr.size
    if block_room < 0:
        reason = f"its extended attributes are {-block_room} bytes larger than ext4 can hold; erofs holds more"
        raise TreeRefused(path, reason)
    in_body = _MAGIC + _layout(body, BODY_SIZE - len(_MAGIC), 0) if body else b""
    if not block:
        return in_body, None
    # The kernel searches a block in this order (ext4_xattr_find_entry) and stops early.
    block.sort(key=lambda xattr: (xattr.index, len(xattr.name), xattr.name))
    entries = _layout(block, BLOCK_SIZE - _BLOCK_HEADER.size, _BLOCK_HEADER.size)
    return in_body, _BLOCK_HEADER.pack(0xEA020000, 0, 1, _block_hash(block), 0) + entries


def seal_block(content: bytes, users: int, number: int, uuid: UUID) -> bytes:
    """Return the block as it is stored in block `number` of the file system, shared by `users` inodes."""
    block = bytearray(content)
    struct.pack_into("<I", block, _USERS_OFFSET, users)
    crc = checksum((uuid.bytes, struct.pack("<Q", number), bytes(block)))
    struct.pack_into("<I", block, _CHECKSUM_OFFSET, crc)
    return bytes(block)


def _parse(path: bytes, name: bytes, value: bytes) -> _Xattr:
    if name in ACLS:
        value = _acl(value)
    index, rest = split_xattr(name)
    if not index or not (rest or name in ACLS) or len(name) > MAX_XATTR_NAME or b"\0" in name:
        raise TreeRefused(path, f"ext4 cannot hold an extended attribute named {quoted(name)}")
    return _Xattr(index, rest, value)


def _acl(value: bytes) -> bytes:
    """Translate an ACL, which the tree has checked, from what getxattr returns (version 2) to version 1, ext4's own."""
    stored = bytearray(b"\x01\0\0\0")
    for tag, permissions, identity in _ACL_ENTRY.iter_unpack(value[4:]):
        entry = _ACL_ENTRY.pack(tag, permissions, identity)
        stored += entry if tag in ACL_NAMED else entry[:4]
    return bytes(stored)


def _layout(xattrs: list[_Xattr], size: int, base: int) -> bytes:
    """Entries from the front, values from the end; offsets of values count from `base` before the first entry."""
    area = bytearray(size)
    front, back = 0, size
    for xattr in xattrs:
        back -= _padded(len(xattr.value))
        area[back : back + len(xattr.value)] = xattr.value
        offset = base + back if xattr.value else 0
        length = len(xattr.name)
        _ENTRY.pack_into(area, front, length, xattr.index, offset, 0, len(xattr.value), _entry_hash(xattr))
        area[front + _ENTRY.size : front + _ENTRY.size + length] = xattr.name
        front += xattr.entry_size
    return bytes(area)


def _entry_hash(xattr: _Xattr) -> int:
    value = 0
    for byte in xattr.name:
        value = (value << 5 & 0xFFFFFFFF) ^ value >> 27 ^ byte
    padded = xattr.value.ljust(_padded(len(xattr.value)), b"\0")
    for (word,) in struct.iter_unpack("<I", padded):
        value = (value << 16 & 0xFFFFFFFF) ^ value >> 16 ^ word
    return value


def _block_hash(xattrs: list[_Xattr]) -> int:
    value = 0
    for xattr in xattrs:
        value = (value << 16 & 0xFFFFFFFF) ^ value >> 16 ^ _entry_hash(xattr)
    return value


def _padded(length: int) -> int:
    return -(-length // 4) * 4
