"""Tars that we write, read by our own strict reader and by Python's."""

from __future__ import annotations

import io
import tarfile

import pytest
from support.reading import entries

from builder.archive.entry import Entry, Kind
from builder.archive.writer import END, headers

MEMBERS = [
    Entry(b"file", Kind.FILE, 0o4755, 1, 2, 3 * 10**9),
    Entry(b"directory/", Kind.DIRECTORY, 0o1777),
    Entry(b"symlink", Kind.SYMLINK, 0o777, link=b"target"),
    Entry(b"hardlink", Kind.HARDLINK, 0o644, link=b"file"),
    Entry(b"character", Kind.CHARACTER, 0o600, major=4095, minor=1048575),
    Entry(b"block", Kind.BLOCK, 0o600, major=7, minor=0),
    Entry(b"fifo", Kind.FIFO, 0o600),
    Entry(b"p" * 100, Kind.FILE, 0o644),
    Entry(b"p" * 101, Kind.FILE, 0o644),
    Entry(b"d/" * 400 + b"x", Kind.FILE, 0o644, mtime_ns=1),
    Entry(b"d/" * 400, Kind.DIRECTORY, 0o755, xattrs={b"user.a": b"1"}),
    Entry(b"long link", Kind.SYMLINK, 0o777, link=b"t" * 4000),
    Entry(b"l" * 200, Kind.HARDLINK, 0o777, link=b"t" * 300, mtime_ns=-1),
    Entry("café\n".encode(), Kind.FILE, 0o644),
    Entry(b"\xff" * 90, Kind.FILE, 0o644),
    Entry(b"\xff" * 200, Kind.FILE, 0o644, xattrs={b"user.raw": b"\0\n=\xff"}),
    Entry(b"owner", Kind.FILE, 0o644, 2**32 - 2, 8**7),
    Entry(b"small owner", Kind.FILE, 0o644, 8**7 - 1, 8**7 - 1),
    Entry(b"early", Kind.FILE, 0o644, mtime_ns=-1_500_000_000),
    Entry(b"late", Kind.FILE, 0o644, mtime_ns=8**11 * 10**9),
    Entry(b"fraction", Kind.FILE, 0o644, mtime_ns=1_700_000_000_123_456_789),
    Entry(
        b"xattrs", Kind.FILE, 0o644, xattrs={b"user.b": b"", b"security.capability": bytes(20), b"user.a": b"x" * 999}
    ),
]


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: repr(member.path[:12]))
def test_a_member_is_read_as_it_was_written(member: Entry) -> None:
    data = headers(member)
    assert len(data) % 512 == 0
    (entry,) = entries(data + END)
    fields = {name: getattr(member, name) for name in Entry.__struct_fields__}
    assert {name: getattr(entry, name) for name in Entry.__struct_fields__} | {"xattrs": dict(entry.xattrs)} == fields


def test_all_of_them_in_one_tar_as_python_reads_it() -> None:
    data = b"".join(headers(member) for member in MEMBERS) + END
    with tarfile.open(fileobj=io.BytesIO(data), encoding="utf-8", errors="surrogateescape") as tar:
        names = [member.name.encode("utf-8", "surrogateescape") for member in tar]
    assert names == [member.path.rstrip(b"/") for member in MEMBERS]


def test_a_size_that_does_not_fit_the_header() -> None:
    data = headers(Entry(b"huge", Kind.FILE, 0o644, size=8**11))
    with tarfile.open(fileobj=io.BytesIO(data + END)) as tar:
        assert tar.next().size == 8**11  # type: ignore[union-attr]


def test_the_order_of_xattrs_says_nothing() -> None:
    one, other = (dict.fromkeys(names, b"") for names in ([b"user.a", b"user.b"], [b"user.b", b"user.a"]))
    assert headers(Entry(b"x", Kind.FILE, xattrs=one)) == headers(Entry(b"x", Kind.FILE, xattrs=other))
