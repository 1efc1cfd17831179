"""What mkfs.erofs gets of a tree, as a tar stream (POSIX.1-2017, pax, "ustar Interchange Format")."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO

from builder.disk.erofs_layout import placeholder
from builder.disk.erofs_plan import Plan
from builder.tree.nodes import Content, Node
from builder.tree.spool import Spool

_BLOCK = 512
_MAX_SIZE = 0o77777777777
_FILE, _DIRECTORY, _EXTENDED = b"0", b"5", b"x"
# Below this a read and a write cost less than a flush and a sendfile.
_COPIED = 1 << 16
_ZEROS = bytes(1 << 16)


def write_tar(planned: Plan, spool: Spool, pipe: BinaryIO) -> None:
    """Write the files of `planned` and their directories to `pipe`, holes as zeros."""
    pipe.write(_header(b".", _DIRECTORY, planned.root))
    last = b""
    for name, file in planned.fed():
        directory = name.partition(b"/")[0]
        if directory != last:
            pipe.write(_header(directory, _DIRECTORY))
            last = directory
        pipe.write(_header(name, _FILE, file, file.content.size))
        _write_content(spool, file.content, pipe)
        pipe.write(bytes(-file.content.size % _BLOCK))
    pipe.write(bytes(2 * _BLOCK))


def _header(name: bytes, typeflag: bytes, node: Node | None = None, size: int = 0) -> bytes:
    """Return the header blocks of an entry: an extended header if one is needed, then ustar's."""
    records = b""
    if node is not None and node.xattrs:
        records += _record(b"SCHILY.xattr.%s=%s" % placeholder(node.xattrs))
    if size > _MAX_SIZE:
        records += _record(b"size=%d" % size)
        size = 0
    block = _ustar(name, typeflag, size)
    if not records:
        return block
    return _ustar(b"pax", _EXTENDED, len(records)) + records + bytes(-len(records) % _BLOCK) + block


def _record(record: bytes) -> bytes:
    """Return `LENGTH keyword=value` and a newline, where LENGTH counts its own digits too."""
    length = len(record) + 2
    total = length + len(b"%d" % length)
    total = length + len(b"%d" % total)
    return b"%d %s\n" % (total, record)


def _ustar(name: bytes, typeflag: bytes, size: int) -> bytes:
    # name, mode, uid, gid, size, mtime
    start = name.ljust(100, b"\0") + b"0000755\x000000000\x000000000\x00%011o\x0000000000000\0" % size
    # typeflag, linkname, magic, version
    end = typeflag + bytes(100) + b"ustar\x0000"
    # The checksum between them counts its own field as eight spaces.
    checksum = sum(start) + sum(end) + 8 * ord(" ")
    return (start + b"%06o\0 " % checksum + end).ljust(_BLOCK, b"\0")


def _write_content(spool: Spool, content: Content, pipe: BinaryIO) -> None:
    if content.size <= _COPIED:
        # Holes read as zeros.
        pipe.write(os.pread(spool.fd, content.size, content.offset))
        return
    position = content.offset
    for start, length in _with_end(spool, content):
        _write_zeros(pipe, start - position)
        pipe.flush()
        position = start
        while length:
            sent = os.sendfile(pipe.fileno(), spool.fd, position, min(length, 1 << 30))
            position += sent
            length -= sent


def _with_end(spool: Spool, content: Content) -> Iterator[tuple[int, int]]:
    """Yield the stretches of data, and the end as an empty one, so that a hole before it is not forgotten."""
    yield from spool.data(content)
    yield content.offset + content.size, 0


def _write_zeros(pipe: BinaryIO, count: int) -> None:
    while count > 0:
        count -= pipe.write(_ZEROS[: min(count, len(_ZEROS))])
