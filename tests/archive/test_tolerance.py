"""What Docker, containerd, skopeo and umoci take, and how it is read."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from support.reading import contents, cut, entries, only, refusal
from support.tars import (
    BLOCK,
    GNU,
    base256,
    character,
    directory,
    file,
    gnu_long,
    hardlink,
    header,
    padded,
    pax,
    pax_header,
    pax_record,
    raw,
    sparse_old,
    sparse_pax,
    symlink,
    tar,
)

from builder.archive.entry import Entry, Kind
from builder.archive.index import index
from builder.errors import MalformedTar

SIZES = [1, 511, 512, 513, 1 << 20]


def in_order(*members: bytes) -> list[tuple[bytes, int]]:
    """Names and sizes, however the stream is cut, and the same in the table of contents of an outer archive."""
    stream = tar(*members)
    (found,) = {tuple((e.path, e.size) for e in entries(cut(stream, size))) for size in SIZES}
    outer = [(name.encode(), member.size) for name, member in index(io.BytesIO(stream)).items()]
    assert outer == [(path, size) for path, size in found if not path.endswith(b"/")]
    return list(found)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("missing", [0, 1, 100, 211, 212])
def test_a_stream_that_ends_within_the_padding_of_its_last_content_is_whole(missing: int, size: int) -> None:
    stream = tar(file("a"), file("b", b"x" * 300), end=b"")
    stream = stream[: len(stream) - missing]
    assert contents(cut(stream, size)) == {b"a": b"", b"b": b"x" * 300}
    assert [e.path for e in entries(cut(stream, size))] == [b"a", b"b"]
    assert index(io.BytesIO(stream))["b"].size == 300


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("missing", [213, 300, 511])
def test_a_stream_that_ends_within_content_is_cut(missing: int, size: int) -> None:
    stream = tar(file("a"), file("b", b"x" * 300), end=b"")
    stream = stream[: len(stream) - missing]
    for read in (entries, contents):
        with pytest.raises(MalformedTar, match="ends in its content") as caught:
            read(cut(stream, size))
        assert caught.value.entry == b"b"
    with pytest.raises(MalformedTar, match="ends in its content"):
        index(io.BytesIO(stream))


def test_sparse_files_may_lack_their_padding_too() -> None:
    for member in (sparse_old("s", [(512, b"x" * 100)], 700), sparse_pax("s", [(512, b"x" * 100)], 700, "1.0")):
        assert contents(member[:-412]) == {b"s": bytes(512) + b"x" * 100 + bytes(88)}
        with pytest.raises(MalformedTar, match="ends in its content"):
            contents(member[:-413])


def test_global_headers_of_a_vendor_change_nothing() -> None:
    records = {"VENDOR.build": "7", "comment": "x", "LIBARCHIVE.creationtime": "1", "SCHILY.fflags": "nodump"}
    assert in_order(pax(records, typeflag=b"g"), file("f", b"data")) == [(b"f", 4)]


def test_global_records_without_a_value_set_nothing() -> None:
    records = {"path": "", "size": "", "uid": "", "SCHILY.xattr.user.a": ""}
    assert in_order(pax(records, typeflag=b"g"), file("f", b"data")) == [(b"f", 4)]


@pytest.mark.parametrize(
    "key",
    [
        *("path", "linkpath", "size", "uid", "gid", "mtime", "GNU.sparse.map", "SCHILY.realsize", "SUN.holesdata"),
        *("SCHILY.xattr.user.a", "LIBARCHIVE.xattr.user.a", "RHT.security.selinux", "SCHILY.acl.access"),
        *("SCHILY.acl.default", "SCHILY.acl.ace", "SCHILY.devmajor", "SCHILY.devminor"),
        *("GNU.volume.filename", "GNU.volume.offset", "GNU.volume.size"),
    ],
)
def test_global_headers_that_would_change_entries_are_refused(key: str) -> None:
    assert "for all entries" in refusal(pax({key: "1"}, typeflag=b"g") + file("f"))


def test_records_without_a_value_mean_what_the_header_block_says() -> None:
    records = dict.fromkeys(("path", "linkpath", "size", "uid", "gid", "mtime"), "")
    member = pax(records) + raw("f", b"0", b"data", uid=1, gid=2, mtime=3)
    assert only(member) == Entry(b"f", Kind.FILE, 0o644, 1, 2, 3 * 10**9, 4)
    assert contents(tar(member)) == {b"f": b"data"}
    assert in_order(member, file("after")) == [(b"f", 4), (b"after", 0)]
    assert only(pax(records) + symlink("s", "t")).link == b"t"
    assert only(pax(records) + hardlink("h", "t")).link == b"t"


@pytest.mark.parametrize(
    "key", [*("SCHILY.acl.access", "SCHILY.acl.default", "SCHILY.acl.ace", "SCHILY.realsize"), "GNU.volume.filename"]
)
def test_records_that_no_header_block_has_say_nothing_without_a_value(key: str) -> None:
    member = pax({key: ""}) + file("f", b"data", mode=0o640)
    assert only(member) == Entry(b"f", Kind.FILE, 0o640, size=4)
    assert contents(tar(member)) == {b"f": b"data"}


def test_an_acl_that_is_taken_back_is_none() -> None:
    said = pax_record(b"SCHILY.acl.access", b"user::rwx,user:x:rwx:7,group::rwx,mask::rwx,other::rwx")
    assert only(pax(said + pax_record(b"SCHILY.acl.access", b"")) + file("f")) == only(file("f"))


@pytest.mark.parametrize(("key", "value"), [("uid", b"5"), ("size", b"9"), ("path", b"other"), ("mtime", b"1.5")])
def test_of_records_that_are_repeated_the_last_one_counts_even_without_a_value(key: str, value: bytes) -> None:
    plain, said = raw("f", b"0", b"data", uid=1, mtime=3), pax_record(key.encode(), value)
    empty = pax_record(key.encode(), b"")
    assert only(pax(said + empty) + plain) == only(plain)
    wanted = {"uid": 5, "size": 9, "path": b"other", "mtime": 1_500_000_000}
    field = {"mtime": "mtime_ns"}.get(key, key)
    content = b"123456789" if key == "size" else b"data"
    assert getattr(only(pax(empty + said) + raw("f", b"0", content)), field) == wanted[key]


def test_a_long_name_that_is_said_twice_is_one_name() -> None:
    for first in (gnu_long("l" * 150), pax({"path": "l" * 150})):
        assert in_order(first, gnu_long("l" * 150), header(b"f", magic=GNU)) == [(b"l" * 150, 0)]
    link = gnu_long("t" * 150, b"K")
    assert only(link + link + header(b"f", b"2", magic=GNU)).link == b"t" * 150


def test_a_pax_path_without_a_value_leaves_a_gnu_long_name_alone() -> None:
    assert in_order(gnu_long("l" * 150) + pax({"path": ""}) + header(b"f")) == [(b"l" * 150, 0)]


def test_link_targets_of_what_is_no_link_are_ignored() -> None:
    for extension in (pax({"linkpath": "target"}), gnu_long("target", b"K")):
        assert only(extension + file("f", b"data")) == Entry(b"f", Kind.FILE, 0o644, size=4)
        assert in_order(extension + file("f", b"data"), file("after")) == [(b"f", 4), (b"after", 0)]
        assert only(extension + header(b"d/", b"5", mode=0o755)) == Entry(b"d/", Kind.DIRECTORY)
        assert only(extension + character("c", 1, 3)) == Entry(b"c", Kind.CHARACTER, 0o644, major=1, minor=3)
    assert only(raw("f", b"0", link=b"target")).link == b""


def test_device_numbers_of_what_is_no_device_are_ignored() -> None:
    record = pax({"SCHILY.devmajor": "7", "SCHILY.devminor": "x"})
    for member in (file("f"), directory("d"), symlink("s", "t"), header(b"f", b"0", major=b"x", minor=2**31)):
        for extension in (b"", record):
            entry = only(extension + member)
            assert (entry.major, entry.minor) == (0, 0)
    assert "outside the header" in refusal(record + character("c", 1, 3))


@pytest.mark.parametrize("above", [1 << 31, 0o20000000000 | 1 << 27, 0o7770000, 0o160000])
def test_of_a_mode_only_the_permissions_count(above: int) -> None:
    """Writers in Go put the language's own file mode there, 020000000755 for a directory."""
    for member in (raw("d/", b"5", mode=above | 0o1755), raw("f", b"0", b"x", mode=base256(above | 0o1755, 8))):
        assert only(member).mode == 0o1755


def test_the_size_of_a_directory_is_ignored() -> None:
    for size in ("4096", "1", "0", str(2**40)):
        extension = pax({"size": size})
        members = file("f", b"x"), extension + header(b"d/", b"5", mode=0o755), file("d/f", b"data")
        assert in_order(*members) == [(b"f", 1), (b"d/", 0), (b"d/f", 4)]
        assert contents(tar(*members)) == {b"f": b"x", b"d/f": b"data"}
    for typeflag, link in ((b"2", b"x"), (b"1", b"x"), (b"3", b""), (b"6", b"")):
        assert "with content" in refusal(pax({"size": "512"}) + header(b"m", typeflag, link=link) + file("hidden"))


def test_a_directory_without_a_name_is_the_root() -> None:
    """Some writers cut the path of what they pack off each name; GNU tar, containerd, podman and umoci take it so."""
    members = header(b"", b"5", mode=0o750), file("f", b"x")
    root, below = entries(tar(*members))
    assert (root.path, root.kind, root.mode, below.path) == (b"", Kind.DIRECTORY, 0o750, b"f")
    assert list(index(io.BytesIO(tar(*members)))) == ["f"]
    for typeflag in (b"\0", b"0", b"1", b"2", b"3", b"6"):
        assert "no name" in refusal(header(b"", typeflag, link=b"x"))


def of_old_go(path: bytes, prefix: bytes, **fields: object) -> bytes:
    """What archive/tar wrote before Go 1.8: GNU's magic, and yet a prefix (golang.org/issue/12594)."""
    return header(path, magic=GNU, prefix=prefix, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("prefix", [b"go/1.7/prefix", b"usr/" * 30 + b"lib", b"p" * 155, b"d" * 12, b"0123456789"])
def test_a_prefix_in_the_place_of_gnus_own_fields_is_one(prefix: bytes) -> None:
    members = of_old_go(b"f", prefix, size=3) + padded(b"abc"), of_old_go(b"g", prefix, uid=2**31)
    assert in_order(*members) == [(prefix + b"/f", 3), (prefix + b"/g", 0)]
    assert contents(tar(*members)) == {prefix + b"/f": b"abc", prefix + b"/g": b""}
    assert entries(tar(*members))[1].uid == 2**31


@pytest.mark.parametrize("typeflag", [b"x", b"g"])
def test_an_empty_pax_header_says_nothing(typeflag: bytes) -> None:
    members = file("before"), pax_header(b"", typeflag=typeflag), file("f", b"data", mode=0o640), file("after")
    assert in_order(*members) == [(b"before", 0), (b"f", 4), (b"after", 0)]
    assert only(pax_header(b"", typeflag=typeflag) + file("f", b"data", mode=0o640)).mode == 0o640
    assert in_order(pax_header(b""), gnu_long("l" * 150), header(b"f")) == [(b"l" * 150, 0)]


@pytest.mark.parametrize(("key", "value"), [("uid", 7), ("gid", 0), ("size", 4)])
def test_pax_numbers_may_begin_with_zeros(key: str, value: int) -> None:
    for zeros in ("0", "0" * 24, "0" * 5000):
        member = pax({key: f"{zeros}{value}"}) + raw("f", b"0", b"data", uid=1, gid=2)
        assert getattr(only(member), key) == value
        assert contents(tar(member)) == {b"f": b"data"}


def test_what_is_left_in_the_place_of_a_sparse_map_is_none() -> None:
    left = header(b"f", size=4, magic=GNU, prefix=bytes(131) + b"12130404200\x0012130627766\0") + padded(b"data")
    assert in_order(left, file("after")) == [(b"f", 4), (b"after", 0)]
    assert contents(tar(left)) == {b"f": b"data"}


def test_an_nfsv4_acl_is_no_attribute_of_linux_and_leaves_the_mode_alone() -> None:
    said = {"SCHILY.acl.ace": "group:everyone:d-----------:-------:deny:12", "uid": "5"}
    entry = only(pax(said) + file("f", b"data", mode=0o640))
    assert entry == Entry(
        b"f", Kind.FILE, 0o640, uid=5, size=4, xattrs={b"SCHILY.acl.ace": said["SCHILY.acl.ace"].encode()}
    )
    odd = {
        "SCHILY.acl.ace": "nonsense",
        "SCHILY.xattr.user.a": "1",
        "SCHILY.acl.access": "user::rw-,user:x:r--:7,group::r--,mask::r--,other::---",
    }
    entry = only(pax(odd) + file("f", mode=0o640))
    assert (entry.mode, sorted(entry.xattrs)) == (0o640, [b"SCHILY.acl.ace", b"system.posix_acl_access", b"user.a"])


def test_times_in_gnus_own_fields_are_no_prefix() -> None:
    for times in (b"00000000012\0" + b"00000000013\0", b"\x80" + bytes(11) + b"12345670   \0", bytes(24)):
        assert only(header(b"f", magic=GNU, prefix=times)).path == b"f"


def test_what_is_neither_times_nor_a_prefix_is_refused() -> None:
    for prefix in (b"\xff\xfe/x" + b"y" * 20, b"00000000012\0" + b"\xffx", b"\0" * 12 + b"x"):
        assert "time is not a number" in refusal(header(b"f", magic=GNU, prefix=prefix))
    sparse = header(b"s", b"S", magic=GNU, prefix=b"go/1.7/prefix".ljust(41, b"\0") + bytes(96))
    assert "time is not a number" in refusal(sparse)


def test_padding_is_put_back_at_the_end_only() -> None:
    def stream() -> Iterator[bytes]:
        yield file("a", b"x" * 300)[:-212]
        yield b""

    assert contents(stream()) == {b"a": b"x" * 300}
    # Nothing that follows content directly is taken for a header.
    with pytest.raises(MalformedTar):
        entries(file("a", b"x" * 300)[:-212] + file("b") + bytes(2 * BLOCK))
