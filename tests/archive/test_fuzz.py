"""Tars with damage done to them: nothing but MalformedTar comes out, and every reader of them sees the same."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
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
    sealed,
    sparse_old,
    sparse_pax,
    symlink,
    tar,
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
TYPEFLAGS = b"\x00012345678SxgLKADMNVX"
Damage = tuple[int, int, bytes, bool]

fields = st.sampled_from(
    [0, 100, 108, 116, 124, 128, 136, 148, 156, 157, 257, 263, 329, 345, 357, 386, 398, 482, 483, 508]
)
values = st.one_of(
    st.binary(min_size=1, max_size=12),
    st.sampled_from(
        [b"\0", b"0", b"7777777", b"00000001000\0", b"00000000777\0", b"\x80" + bytes(7) + b"\x00\x02\x00\x00"]
    ),
    st.sampled_from([GNU, b"ustar\x0000", b"ustar", V7, b"-1", b" ", b"\xff" * 12, b"/", b"1", b"9", b"="]),
    st.sampled_from([bytes([flag]) for flag in TYPEFLAGS]),
)
damages = st.lists(
    st.tuples(st.integers(0, 60), st.one_of(fields, st.integers(0, BLOCK - 1)), values, st.booleans()), max_size=4
)


def damaged(members: list[bytes], damage: list[Damage], cut: int | None) -> bytes:
    """Overwrite bytes of some blocks, mostly with the checksum made right again."""
    stream = bytearray(tar(*members))
    for number, at, value, keep_checksum in damage:
        start = number % (len(stream) // BLOCK) * BLOCK
        block = bytearray(stream[start : start + BLOCK])
        value = value[: BLOCK - at]
        was_header = block[257:262] == b"ustar" or block[148:156].strip(b"\0 ").isdigit()
        block[at : at + len(value)] = value
        stream[start : start + BLOCK] = sealed(bytes(block)) if was_header and not keep_checksum else block
    return bytes(stream if cut is None else stream[: cut % (len(stream) + 1)])


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


@pytest.mark.slow
@settings(max_examples=3_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.integers(0, len(MEMBERS) - 1), min_size=1, max_size=5),
    damages,
    st.one_of(st.none(), st.integers(0, 20_000)),
)
@example([0], [], None)
def test_damaged_tars_are_refused_or_read_in_one_way(members: list[int], damage: list[Damage], cut: int | None) -> None:
    check(damaged([MEMBERS[number] for number in members], damage, cut))


keys = st.sampled_from(
    ["path", "linkpath", "size", "uid", "gid", "mtime", "hdrcharset", "comment", "SCHILY.xattr.user.a"]
    + [
        f"GNU.sparse.{key}"
        for key in ("major", "minor", "realsize", "size", "numblocks", "map", "name", "offset", "numbytes")
    ]
    + ["LIBARCHIVE.xattr.user.a", "SCHILY.devmajor", "SUN.holesdata", "SCHILY.realsize", "SCHILY.fflags", "SCHILY.ino"]
)
texts = st.sampled_from(
    [
        "0",
        "1",
        "10",
        "-1",
        "512",
        "1024",
        "1e3",
        "",
        "0,10",
        "0,512,1024,512",
        "a/b",
        "x/",
        "\u00e9",
        "BINARY",
        "9" * 20,
        "1.5",
        " 1",
    ]
)


@pytest.mark.slow
@settings(max_examples=3_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.tuples(keys, texts), min_size=1, max_size=4),
    st.sampled_from(list(b"\x00012345 67S")),
    st.sampled_from([0, 1, 10, 512, 1024]),
    st.sampled_from([b"", b"target"]),
    st.sampled_from([b"x", b"g"]),
)
def test_any_pax_records_are_refused_or_read_in_one_way(
    records: list[tuple[str, str]], typeflag: int, size: int, link: bytes, kind: bytes
) -> None:
    body = b"".join(pax({key: value})[BLOCK:].rstrip(b"\0") for key, value in records)
    content = (b"1\n0\n10\n".ljust(BLOCK, b"\0") + INNER)[:size]
    member = raw("m", bytes([typeflag]), content, link=link)
    check(tar(pax(body, typeflag=kind), member, file("after", b"data")))
