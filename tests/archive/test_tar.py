from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Iterator

import pytest
from support.leaks import no_thread_left
from support.reading import contents, cut, entries, only, write_content
from support.tars import (
    BLOCK,
    END,
    GNU,
    V7,
    block,
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
    tar,
)

from builder.archive.entry import Entry, Kind
from builder.archive.tar import TarReader
from builder.errors import CorruptStream, MalformedTar
from builder.layers.ahead import ahead

GIB = 1024**3
EXTENTS = [(8192, b"x" * 700)]
SPARSE_SIZE = 30_000


def test_every_kind_of_member_with_all_that_its_header_says() -> None:
    stream = tar(
        directory("etc", mode=0o1777, uid=1, gid=2, mtime=3),
        file("etc/passwd", b"root", mode=0o4755, uid=1000, gid=1001, mtime=1_700_000_000),
        symlink("link", "../target"),
        hardlink("hard", "etc/passwd"),
        character("null", 1, 3, mode=0o666),
        block("sda", 8, 1),
        fifo("pipe"),
        file("capable", b"x", xattrs={"security.capability": b"\x01\0\0\x02\xff\n=", b"user.\xff": b""}),
    )
    assert entries(stream) == [
        Entry(b"etc/", Kind.DIRECTORY, 0o1777, 1, 2, 3 * 10**9),
        Entry(b"etc/passwd", Kind.FILE, 0o4755, 1000, 1001, 17 * 10**17, 4),
        Entry(b"link", Kind.SYMLINK, 0o777, link=b"../target"),
        Entry(b"hard", Kind.HARDLINK, 0o644, link=b"etc/passwd"),
        Entry(b"null", Kind.CHARACTER, 0o666, major=1, minor=3),
        Entry(b"sda", Kind.BLOCK, 0o644, major=8, minor=1),
        Entry(b"pipe", Kind.FIFO, 0o644),
        Entry(
            b"capable",
            Kind.FILE,
            0o644,
            size=1,
            xattrs={b"security.capability": b"\x01\0\0\x02\xff\n=", b"user.\xff": b""},
        ),
    ]


@pytest.mark.parametrize("size", [1, 511, 512, 513, 1 << 20])
def test_headers_may_straddle_chunks(size: int) -> None:
    name = "n" * 300
    stream = tar(file(name, b"a" * 1000), file("b", b"", mtime="1.5"), sparse_pax("s", EXTENTS, SPARSE_SIZE, "1.0"))
    assert contents(cut(stream, size)) == {
        name.encode(): b"a" * 1000,
        b"b": b"",
        b"s": (bytes(8192) + b"x" * 700).ljust(SPARSE_SIZE, b"\0"),
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("-1.5", -1_500_000_000),
        ("-0.5", -500_000_000),
        ("-1", -1_000_000_000),
        ("1.000000001", 1_000_000_001),
        ("1.", 1_000_000_000),
        ("1.1234567899", 1_123_456_789),
        (str(2**33 + 5) + ".25", (2**33 + 5) * 10**9 + 250_000_000),
        ("99999999999", 99_999_999_999 * 10**9),
    ],
)
def test_times_are_exact(text: str, expected: int) -> None:
    assert only(file("f", mtime=text)).mtime_ns == expected


def test_times_in_headers_may_be_negative_or_large() -> None:
    assert only(raw("f", b"0", mtime=-5)).mtime_ns == -5 * 10**9
    assert only(raw("f", b"0", mtime=2**34)).mtime_ns == 2**34 * 10**9
    assert only(raw("f", b"0", mtime=b"")).mtime_ns == 0


def test_owners_reach_two_below_two_to_the_32nd() -> None:
    for owner in (0, 2**21, 2**31, 2**32 - 2):
        for stream in (file("f", uid=owner, gid=owner), raw("f", b"0", uid=owner, gid=owner)):
            assert (only(stream).uid, only(stream).gid) == (owner, owner)


def test_numbers_are_read_in_all_their_spellings() -> None:
    for field in (b"0000644\0", b"000644 \0", b"   644 \0", b"644\0\0\0\0\0", b"00000644", b"0100644\0"):
        assert only(raw("f", b"0", mode=field)).mode == 0o644
    assert only(raw("f", b"0", uid=b" " * 8, gid=bytes(8))).uid == 0


def test_a_v7_name_that_ends_in_a_slash_is_a_directory() -> None:
    assert only(raw("d/", b"\0", magic=V7)).kind is Kind.DIRECTORY
    assert only(raw("d/", b"\0", magic=V7, size=512)).size == 0


def test_contiguous_files_and_old_files_are_files() -> None:
    for typeflag in (b"7", b"\0", b"0"):
        assert only(raw("f", typeflag, b"data")).kind is Kind.FILE
        assert contents(tar(raw("f", typeflag, b"data"))) == {b"f": b"data"}


def test_sizes_of_members_without_content_are_ignored() -> None:
    for typeflag in b"123456":
        for magic in (GNU, b"ustar\x0000"):
            extra: dict[str, object] = {"link": b"x"} if typeflag in b"12" else {}
            member = header(b"m", bytes([typeflag]), size=700, magic=magic, **extra)  # type: ignore[arg-type]
            assert [(e.path, e.size) for e in entries(tar(member, file("after")))] == [(b"m", 0), (b"after", 0)]


def test_a_harmless_global_header_is_passed_over() -> None:
    stream = tar(pax({"comment": "0123abc"}, typeflag=b"g"), file("a"), pax({"comment": "x"}, typeflag=b"g"), file("b"))
    assert [e.path for e in entries(stream)] == [b"a", b"b"]
    assert entries(tar(pax({"comment": "x"}, typeflag=b"g"))) == []


def test_an_archive_of_nothing_has_no_entries() -> None:
    for stream in (b"", END, bytes(10240), bytes(512)):
        assert entries(stream) == []
    assert entries([b"", b""]) == []


def test_an_archive_may_end_without_its_marker() -> None:
    for end in (b"", bytes(512), END):
        assert [e.path for e in entries(tar(file("a", b"x"), end=end))] == [b"a"]


def test_what_follows_the_end_is_left_to_the_caller() -> None:
    chunks = iter([tar(file("a")), b"trailing", b"bytes"])
    assert [e.path for e in entries(chunks)] == [b"a"]
    assert b"".join(chunks).endswith(b"bytes")


def test_an_archive_cut_anywhere_else_is_refused() -> None:
    stream = tar(
        file("a", b"x" * 1000, mtime="1.5"), sparse_old("s", EXTENTS, SPARSE_SIZE), gnu_long("l" * 200), file("b")
    )
    padding = stream[: stream.index(b"././@LongLink")].rstrip(b"\0")
    boundaries = set()
    for end in range(0, len(stream) - 1024, 100):
        try:
            contents(stream[:end])
            boundaries.add(end)
        except MalformedTar:
            pass
    assert boundaries <= {0, *range(len(padding), len(padding) + 512)}
    complete = file("a", b"x" * 1000)
    with pytest.raises(MalformedTar, match="ends in its content") as caught:
        contents(complete + file("b", b"y" * 1000)[:-600])
    assert caught.value.entry == b"b"


def zeros(count: int) -> Iterator[bytes]:
    piece = bytes(1 << 20)
    while count:
        yield piece[:count]
        count -= min(count, len(piece))


@pytest.mark.parametrize("way", ["base256", "pax"])
def test_files_larger_than_octal_can_say(way: str) -> None:
    size = 9 * GIB + 5
    head = header(b"big", size=size) if way == "base256" else pax({"size": str(size)}) + header(b"big")

    def stream() -> Iterator[bytes]:
        yield head
        yield from zeros(size + -size % BLOCK)
        yield tar(file("after", b"ok"))

    assert [(e.path, e.size) for e in entries(stream())] == [(b"big", size), (b"after", 2)]


def test_content_is_optional_to_read() -> None:
    stream = tar(file("a", b"1" * 5000), file("b", b"2" * 5000), file("c", b"3"))
    with TarReader(cut(stream, 1000)) as reader, tempfile.TemporaryFile() as spool:
        for entry in reader:
            if entry.path == b"b":
                write_content(reader, spool.fileno())
                assert list(reader.content()) == []  # once is enough
        assert os.pread(spool.fileno(), 10000, 0) == b"2" * 5000


def test_errors_of_the_stream_come_out_as_themselves() -> None:
    stream = tar(file("a", b"x" * 5000), file("b"))
    for at in (0, 100, 512, 3000, len(stream) - 1024):
        for error in (CorruptStream("bad crc"), OSError("gone"), KeyboardInterrupt()):

            def broken(at: int = at, error: BaseException = error) -> Iterator[bytes]:
                yield stream[:at]
                raise error

            with pytest.raises(type(error)) as caught:
                contents(broken())
            assert caught.value is error


def test_closing_in_the_middle_leaves_nothing_behind() -> None:
    stream = tar(*(file(f"f{i}", b"x" * 3000) for i in range(100)))
    with no_thread_left():
        chunks = ahead(cut(stream, 4096))
        with TarReader(chunks) as reader:
            walk = iter(reader)
            next(walk)
            reader.close()
            assert list(walk) == []
            reader.close()
        chunks.close()
    gc.collect()


def test_bsdtar_xattrs_written_twice_are_read_once() -> None:
    records = {
        "SCHILY.xattr.user.a": "value",
        "LIBARCHIVE.xattr.user.a": "dmFsdWU",
        "LIBARCHIVE.xattr.user.%25": "eA==",
    }
    assert only(pax(records) + file("f")).xattrs == {b"user.a": b"value", b"user.%": b"x"}
