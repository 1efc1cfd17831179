"""What mkfs.erofs gets of a tree, as a tar stream (POSIX.1-2017, pax, "ustar Interchange Format")."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from builder.archive.block import padded
from builder.archive.entry import Entry, Kind
from builder.archive.writer import END, headers
from builder.disk.erofs.layout import placeholder
from builder.disk.erofs.plan import Plan
from builder.tree.nodes import Content, Node
from builder.tree.spool import Spool

# Below this a read and a write cost less than a flush and a sendfile.
_COPIED = 1 << 16
_ZEROS = bytes(1 << 16)


def write_tar(planned: Plan, spool: Spool, pipe: BinaryIO) -> None:
    """Write the files of `planned` and their directories to `pipe`, holes as zeros."""
    pipe.write(_header(b".", Kind.DIRECTORY, planned.root))
    last = b""
    for name, file in planned.fed():
        directory = name.partition(b"/")[0]
        if directory != last:
            pipe.write(_header(directory, Kind.DIRECTORY))
            last = directory
        pipe.write(_header(name, Kind.FILE, file, file.content.size))
        _write_content(spool, file.content, pipe)
        pipe.write(bytes(padded(file.content.size) - file.content.size))
    pipe.write(END)


def _header(name: bytes, kind: Kind, node: Node | None = None, size: int = 0) -> bytes:
    """Return the header blocks of an entry, with room for the extended attributes of `node`."""
    xattrs = dict([placeholder(node.xattrs)]) if node is not None and node.xattrs else {}
    return headers(Entry(name, kind, size=size, xattrs=xattrs))


def _write_content(spool: Spool, content: Content, pipe: BinaryIO) -> None:
    if content.size <= _COPIED:
        # Holes read as zeros.
        pipe.write(spool.read(content))
        return
    position = content.offset
    for start, length in _with_end(spool, content):
        _write_zeros(pipe, start - position)
        pipe.flush()
        spool.send(start, length, pipe.fileno())
        position = start + length


def _with_end(spool: Spool, content: Content) -> Iterator[tuple[int, int]]:
    """Yield the stretches of data, and the end as an empty one, so that a hole before it is not forgotten."""
    yield from spool.data(content)
    yield content.offset + content.size, 0


def _write_zeros(pipe: BinaryIO, count: int) -> None:
    while count > 0:
        count -= pipe.write(_ZEROS[: min(count, len(_ZEROS))])
