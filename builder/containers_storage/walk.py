"""A tar made of what a layer was unpacked into, where there is no tar-split: not the tar that it came from."""

from __future__ import annotations

import os
from collections.abc import Iterator

from builder.archive.block import padded
from builder.archive.entry import Entry, Kind
from builder.archive.writer import END, headers
from builder.containers_storage.handles import Handle, reading
from builder.containers_storage.overlay import Facts, read_facts
from builder.containers_storage.records import LayerRecord
from builder.containers_storage.tarsplit import READ_SIZE
from builder.containers_storage.unpacked import Path, Unpacked
from builder.errors import MalformedArchive
from builder.events import Listener, Notice
from builder.linux import OPAQUE, WHITEOUT

Inodes = dict[tuple[int, int], bytes]


def write_tar(files: Unpacked, layer: LayerRecord, listen: Listener) -> Iterator[bytes]:
    """Yield a tar of all that is below the directory, in small pieces, always the same for the same files.

    The directory itself is left out: its mode and owner are the store's. Raises UnsupportedImage for what overlay
    keeps elsewhere, and MalformedArchive for what changes while it is read.
    """
    names_of: Inodes = {}
    pending: list[Path] = [()]
    root = _facts(files.root, b".", layer)[1]
    if root is not None and root.opaque:
        yield headers(Entry(OPAQUE, Kind.FILE))
    while pending:
        path = pending.pop()
        parent = files.directory(path)
        if parent is None:
            raise _changed(files.root.where)
        below: list[Path] = []
        for name in parent.names():
            status, facts = _facts(parent, name, layer)
            if facts is None:
                listen(Notice(f"{parent.path(name)}: a socket is left out, for no image can hold one"))
                continue
            if facts.kind is Kind.DIRECTORY:
                below.append((*path, name))
            yield from _member(parent, path, name, status, facts, names_of)
        pending.extend(reversed(below))
    yield END


def _facts(parent: Handle, name: bytes, layer: LayerRecord) -> tuple[os.stat_result, Facts | None]:
    status = parent.status(name)
    if status is None:
        raise _changed(parent.path(name))
    return status, read_facts(parent, name, status, layer)


def _member(
    parent: Handle, path: Path, name: bytes, status: os.stat_result, facts: Facts, names_of: Inodes
) -> Iterator[bytes]:
    full = b"/".join([*path, name])
    if facts.kind is None:
        yield headers(Entry(b"/".join([*path, WHITEOUT + name]), Kind.FILE))
        return
    said = (facts.mode, facts.uid, facts.gid, status.st_mtime_ns)
    if facts.kind is Kind.DIRECTORY:
        yield headers(Entry(full + b"/", facts.kind, *said, xattrs=facts.xattrs))
        if facts.opaque:
            yield headers(Entry(full + b"/" + OPAQUE, Kind.FILE))
        return
    if status.st_nlink > 1:
        other = names_of.setdefault((status.st_dev, status.st_ino), full)
        if other != full:
            yield headers(Entry(full, Kind.HARDLINK, *said, link=other))
            return
    if facts.kind is Kind.FILE:
        yield headers(Entry(full, facts.kind, *said, status.st_size, xattrs=facts.xattrs))
        yield from _content(parent, name, status)
        return
    link = b""
    if facts.kind is Kind.SYMLINK:
        with reading(parent.path(name)):
            link = os.readlink(name, dir_fd=parent.fd)
    yield headers(Entry(full, facts.kind, *said, 0, link, facts.major, facts.minor, facts.xattrs))


def _content(parent: Handle, name: bytes, status: os.stat_result) -> Iterator[bytes]:
    fd = parent.file(name)
    if fd is None:
        raise _changed(parent.path(name))
    try:
        left = status.st_size
        with reading(parent.path(name)):
            while left and (chunk := os.read(fd, min(left, READ_SIZE))):
                left -= len(chunk)
                yield chunk
        if left or os.fstat(fd).st_size != status.st_size:
            raise _changed(parent.path(name))
    finally:
        os.close(fd)
    yield bytes(padded(status.st_size) - status.st_size)


def _changed(where: str) -> MalformedArchive:
    return MalformedArchive(where, "was changed while it was read; try again")
