"""Tars with damage done to them: nothing but MalformedTar comes out, and every reader of them sees the same."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile

from support.reading import write_content
from support.tars import (
    BLOCK,
    GNU,
    V7,
    character,
    directory,
    fifo,
    file,
    gnu_long,
    hardlink,
    header,
    pax,
    raw,
    sparse_old,
    sparse_pax,
    symlink,
)

from builder.archive.entry import Entry, Kind
from builder.archive.guard import Guard
from builder.archive.header import Header
from builder.archive.index import index
from builder.archive.tar import TarReader
from builder.errors import MalformedTar

EXTENTS = [(i * 1024, b"x" * 600) for i in range(1, 8)]
INNER = file("inner", b"inner data", mtime="1.5") + hardlink("inner-link", "x") + symlink("inner-symlink", "y")
MEMBERS = [
    file("f", INNER),  # content that looks like headers, for whoever loses the place
    file("g" * 120, INNER, mtime="-1.25", uid=2**31, xattrs={"user.a": b"1"}),
    directory("d"),
    symlink("s", "t" * 120),
    hardlink("h", "f"),
    header(b"h2", b"1", size=1024, link=b"f"),
    character("c", 1, 3),
    fifo("p"),
    gnu_long("l" * 200) + raw("l", b"0", INNER, magic=GNU),
    gnu_long("k" * 200, b"K") + raw("k", b"2", link=b"k" * 100, magic=GNU),
    raw("v7", b"\0", INNER, magic=V7),
    sparse_old("so", EXTENTS, 9000),
    sparse_old("sparse", [(0, INNER)], 9000),
    sparse_pax("s0", EXTENTS, 9000, "0.0"),
    sparse_pax("s1", EXTENTS, 9000, "0.1"),
    sparse_pax("s2", EXTENTS, 9000, "1.0"),
    pax({"comment": "c"}, typeflag=b"g"),
    pax({"size": str(len(INNER)), "path": "p" * 300}) + header(b"p") + INNER,
    bytes(BLOCK),
]


def guard_view(stream: bytes, size: int) -> list[Header] | None:
    guard = Guard(stream[i : i + size] for i in range(0, len(stream), size))
    try:
        for _ in guard:
            pass
    except MalformedTar:
        return None
    return list(guard.headers)


def reader_view(stream: bytes) -> list[tuple[Entry, bytes]] | None:
    found = []
    try:
        with TarReader(stream[i : i + 1000] for i in range(0, len(stream), 1000)) as reader:
            for number, entry in enumerate(reader):
                content = b""
                if number % 3:  # every third one is skipped
                    with tempfile.TemporaryFile() as spool:
                        write_content(reader, spool.fileno(), 512)
                        assert os.fstat(spool.fileno()).st_size <= 512 + entry.size
                        if entry.size < 1 << 20:
                            spool.truncate(512 + entry.size)
                            content = os.pread(spool.fileno(), entry.size, 512)
                        assert not any(os.pread(spool.fileno(), 512, 0))
                found.append((entry, content))
    except MalformedTar:
        return None
    return found


def check(stream: bytes) -> None:
    headers = guard_view(stream, 1 << 20)
    assert guard_view(stream, 100) == headers
    found = reader_view(stream)
    if found is None:
        return
    assert headers is not None
    assert [(h.path, h.kind, h.size, h.link) for h in headers] == [(e.path, e.kind, e.size, e.link) for e, _ in found]
    complaint = index_complaint(stream)
    assert complaint is None or complaint.startswith(("the archive has two", "its name does not", "it is a "))
    compare_with_tarfile(stream, found)


def index_complaint(stream: bytes) -> str | None:
    try:
        index(io.BytesIO(stream))
    except MalformedTar as error:
        return error.reason
    return None


def compare_with_tarfile(stream: bytes, found: list[tuple[Entry, bytes]]) -> None:
    """Python's reader is no oracle for what is legal, but what libarchive is given, it must see at the same places."""
    if b" size=\n" in stream:
        return  # To it, no size is 0, also in a global header.
    given = io.BytesIO(b"".join(Guard([stream])))
    try:
        with tarfile.open(fileobj=given, mode="r:", encoding="latin-1", errors="strict") as archive:
            theirs = [(m.name, m.size if m.isreg() else 0, m.type) for m in archive]
    except (tarfile.TarError, UnicodeError, ValueError, OverflowError, KeyError):
        return
    if any(kind not in tarfile.SUPPORTED_TYPES for _, _, kind in theirs):
        return
    ours = [e.size if e.kind is Kind.FILE else 0 for e, _ in found]
    # It takes a later header that it does not like for the end.
    assert ours[: len(theirs)] == [size for _, size, _ in theirs]
