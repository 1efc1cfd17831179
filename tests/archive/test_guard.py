from __future__ import annotations

import pytest
from support.reading import BEFORE, reader_refusal, refusal
from support.tars import (
    BLOCK,
    END,
    GNU,
    USTAR,
    V7,
    base256,
    file,
    gnu_long,
    hardlink,
    header,
    padded,
    pax,
    pax_header,
    pax_record,
    raw,
    sealed,
    sparse_pax,
    symlink,
    tar,
)

from builder.archive.tar import TarReader
from builder.errors import MalformedTar


def record(text: bytes) -> bytes:
    return pax(text) + file("f")


@pytest.mark.parametrize(
    "body",
    [
        b"path=x\n",
        b"7 path=x\n",
        b"11 path=x\n",
        b"100 path=x\n",
        b"0 path=x\n",
        b"-9 path=x\n",
        b"+9 path=x\n",
        b" 10 path=x\n",
        b"10  path=x\n"[:10],
        b"10\tpath=x\n",
        b"9 pathxx\n",
        b"5 =x\n",
        b"10 path=x\0",
        b"10 path=xx",
        b"10 path=x\n\0",
        b"10 path=x\n\n",
        b"12 pa\0th=x\n",
        b"9999999 path=x\n",
        b"3 \n",
        b"99999999999999999999 path=x\n",
    ],
)
def test_malformed_pax_records_are_refused(body: bytes) -> None:
    assert "pax header has" in refusal(record(body))


@pytest.mark.parametrize("key", ["uid", "gid", "size", "mtime"])
@pytest.mark.parametrize("value", ["x", "1x", " 1", "0x10", "1e3", "1_0", "1\0", "99999999999999999999", "+1", "--1"])
def test_pax_numbers_that_are_none_are_refused(key: str, value: str) -> None:
    assert f"pax {key} is not a" in refusal(pax({key: value}) + header(b"f"))


def test_negative_numbers_are_refused_where_there_are_none() -> None:
    for key in ("uid", "gid", "size"):
        assert "not a number" in refusal(pax({key: "-1"}) + header(b"f"))
    assert "owner" in refusal(raw("f", b"0", uid=-1))
    assert "owner" in refusal(raw("f", b"0", gid=-1))
    assert "size is negative" in refusal(raw("f", b"0", size=-1))
    assert "size is negative" in refusal(raw("f", b"0", size=base256(-512, 12)))
    assert "shorter than nothing" in refusal(header(b"x", b"x", size=-512) + file("f"))
    assert "mode" in refusal(raw("f", b"0", mode=-1))


def test_owners_of_two_to_the_32nd_minus_one_and_above_are_refused() -> None:
    for owner in (2**32 - 1, 2**32, 2**63 - 1):
        assert "owner" in refusal(file("f", uid=owner))
        assert "owner" in refusal(file("f", gid=owner))
    assert "owner" in refusal(raw("f", b"0", uid=2**32 - 1))


@pytest.mark.parametrize("field", ["mode", "uid", "gid", "size", "mtime"])
@pytest.mark.parametrize(
    "value", [b"8", b"abc", b"-1", b"0x1", b"1 1", b"\x001", b"1,", b"+1", b"\t1", b"\x80" + b"\xff" * 11]
)
def test_header_numbers_that_are_none_are_refused(field: str, value: bytes) -> None:
    width = 12 if field in ("size", "mtime") else 8
    reason = refusal(header(b"f", **{field: value[:width]}))
    assert "is not a number" in reason or "owner" in reason or "mode" in reason


def test_device_numbers_that_are_none_are_refused() -> None:
    assert "device number is not" in refusal(header(b"d", b"3", major=b"x"))
    assert "does not exist" in refusal(header(b"d", b"3", major=4096))
    assert "does not exist" in refusal(header(b"d", b"4", minor=2**20))
    assert "no device numbers" in refusal(header(b"d", b"3", magic=V7))


def test_names_with_a_nul_or_without_anything_are_refused() -> None:
    assert "holds a NUL" in refusal(pax({"path": "good\0evil"}) + file("f"))
    assert "holds a NUL" in refusal(pax({"linkpath": "good\0evil"}) + symlink("f", "t"))
    assert "holds a NUL" in refusal(gnu_long("good\0evil") + file("f"))
    assert "holds a NUL" in refusal(gnu_long("good\0evil", b"K") + symlink("f", "t"))
    assert "empty" in refusal(gnu_long("") + file("f"))
    assert "no name" in refusal(header(b""))
    assert "link to nothing" in refusal(header(b"f", b"1"))
    assert "link to nothing" in refusal(header(b"f", b"2"))


def test_a_member_with_two_names_is_refused() -> None:
    for first, second in ((gnu_long("a"), gnu_long("b")), (gnu_long("a", b"K"), gnu_long("b", b"K"))):
        assert "two long names" in refusal(first + second + symlink("f", "t"))
    for pair in ((gnu_long("a"), pax({"path": "b"})), (pax({"path": "b"}), gnu_long("a"))):
        assert "long name" in refusal(b"".join(pair) + file("f"))
    for pair in ((gnu_long("a", b"K"), pax({"linkpath": "b"})), (pax({"linkpath": "b"}), gnu_long("a", b"K"))):
        assert "long name" in refusal(b"".join(pair) + symlink("f", "t"))
    sparse = sparse_pax("s", [(0, b"x")], 5, "0.0")
    assert "long name and a sparse map" in refusal(gnu_long("a") + sparse)
    assert "two long names" in refusal(sparse[: sparse.index(b"s\0")] + gnu_long("a") + sparse[sparse.index(b"s\0") :])
    assert "two pax headers" in refusal(pax({"path": "a"}) + pax({"uid": "1"}) + file("f"))


def test_too_many_extension_headers_are_refused() -> None:
    comment = pax({"comment": "x"}, typeflag=b"g")
    assert "too many" in refusal(comment * 5 + file("f"))


def test_extension_headers_that_are_too_long_or_for_nobody_are_refused() -> None:
    assert "too long" in refusal(pax_header(pax_record(b"comment", b"x" * (1 << 20))) + file("f"))
    assert "too long" in refusal(gnu_long("n" * (1 << 20)) + file("f"))
    for extension in (pax({"uid": "1"}), pax_header(b""), gnu_long("a"), gnu_long("a", b"K")):
        for end in (b"", END):
            with (
                pytest.raises(MalformedTar, match="between its headers"),
                TarReader([tar(extension, end=end)]) as reader,
            ):
                list(reader)


@pytest.mark.parametrize("typeflag", [b"A", b"D", b"M", b"N", b"V", b"X", b"Z", b"8", b"\xff", b" ", b"E", b"I"])
def test_members_of_an_unknown_type_are_refused(typeflag: bytes) -> None:
    assert "unknown" in refusal(header(b"f", typeflag))


@pytest.mark.parametrize(
    "records", [{"comment": "0123abc"}, {"GNU.volume.label": "v"}, {"SCHILY.archtype": "pax", "SCHILY.release": "star"}]
)
def test_global_headers_that_change_nothing_are_passed_over(records: dict[str, str]) -> None:
    with TarReader([tar(pax(records, typeflag=b"g"), file("f"))]) as reader:
        assert [entry.path for entry in reader] == [b"f"]


def test_a_ustar_header_without_its_version() -> None:
    stream = tar(header(b"f", magic=b"ustar\0\0\0", prefix=b"dir"), header(b"g", magic=b"ustar\0  "))
    with TarReader([stream]) as reader:
        assert [entry.path for entry in reader] == [b"dir/f", b"g"]


def test_wrong_checksums_are_refused() -> None:
    good = header(b"f", size=3)
    assert "checksum is wrong" in refusal(b"g" + good[1:] + padded(b"abc"))
    assert "checksum" in refusal(header(b"f", checksum=b"garbage"))
    assert "checksum" in refusal(header(b"f", checksum=bytes(8)))
    assert "checksum is not a number" in refusal(b"x" * BLOCK)


def test_what_is_something_else_from_its_first_block_on_is_said_to_be_no_tar() -> None:
    with pytest.raises(MalformedTar, match="it does not begin with the header of a tar: its header checksum is not"):
        list(TarReader([b"x" * BLOCK]))
    assert refusal(b"x" * BLOCK).startswith("its header checksum")


def test_signed_checksums_of_old_systems_are_right() -> None:
    name = "\u00e9".encode()
    block = header(name)
    signed = sum(byte - 256 if byte > 127 else byte for byte in block[:148] + b" " * 8 + block[156:])
    with TarReader([tar(sealed(block, b"%06o\0 " % signed))]) as reader:
        assert [entry.path for entry in reader] == [name]


def test_half_an_end_marker_with_data_behind_it_is_refused() -> None:
    assert "half an end-of-archive marker" in refusal(bytes(BLOCK))


def test_files_whose_name_ends_in_a_slash_are_refused() -> None:
    for typeflag in (b"0", b"7"):
        assert "ends in a slash" in refusal(raw("d/", typeflag))
    assert "ends in a slash" in refusal(sparse_pax("d/", [(0, b"x")], 5, "1.0"))


def test_content_that_only_some_readers_see_is_refused() -> None:
    for typeflag in b"12346":
        link = b"x" if typeflag in b"12" else b""
        member = pax({"size": "512"}) + header(b"m", bytes([typeflag]), link=link) + file("hidden")
        assert "with content" in refusal(member)
    # In an archive that had a pax header before, libarchive obeys a hardlink's size; Go and GNU tar never do.
    assert "two ways" in reader_refusal(
        file("x", mtime="1.5") + header(b"m", b"1", size=512, link=b"x") + file("hidden")
    )


def test_formats_that_can_be_read_in_two_ways_are_refused() -> None:
    for magic in (b"ustar   ", b"ustarX00", b"ustar  0"):
        assert "ustar" in refusal(header(b"f", magic=magic))
    star = bytearray(header(b"f", prefix=b"p" * 131 + b"00000000001\0" + b"00000000001\0"))
    star[508:512] = b"tar\0"
    assert "as ustar and as star" in refusal(sealed(bytes(star)))
    assert "no sparse file" in refusal(header(b"f", magic=GNU, prefix=bytes(41) + b"00000000000\0" * 2))
    assert "not GNU's" in refusal(header(b"f", b"S", magic=USTAR))


def test_what_star_solaris_and_acls_say() -> None:
    for key in ("SCHILY.realsize", "SUN.holesdata"):
        assert f"'{key}' cannot be obeyed" in refusal(pax({key: "1"}) + file("f"))


def test_xattrs_that_can_be_read_in_two_ways_are_refused() -> None:
    assert "two values" in reader_refusal(
        record(pax_record(b"SCHILY.xattr.user.a", b"1") + pax_record(b"SCHILY.xattr.user.a", b"2"))
    )
    assert "two values" in reader_refusal(
        pax({"SCHILY.xattr.user.a": "1", "LIBARCHIVE.xattr.user.a": "Mg=="}) + file("f")
    )
    assert "without a name" in refusal(pax({"SCHILY.xattr.": "1"}) + file("f"))
    for key, value in (("a%00b", "eA=="), ("a", "e!A=="), ("", "eA==")):
        assert "malformed" in refusal(pax({f"LIBARCHIVE.xattr.{key}": value}) + file("f"))


def test_an_error_names_the_entry_that_is_to_blame() -> None:
    for member, entry in (
        (pax({"path": "long/name"}) + header(b"f", b"Z"), b"long/name"),
        (pax({"uid": "x", "path": "long/name"}) + file("f"), b"long/name"),
        (pax({"SCHILY.acl.access": "x", "path": "long/name"}) + file("f"), b"long/name"),
        (pax_header(pax_record(b"path", b"long/name") + b"no record") + file("f"), b"long/name"),
        (gnu_long("name") + pax({"uid": "x"}) + file("f"), b"name"),
        (pax({"uid": "x"}, path=b"d/PaxHeaders/f") + file("d/f"), b"d/PaxHeaders/f"),
        (header(b"f", b"Z"), b"f"),
        (gnu_long("name") + header(b"f", uid=b"x"), b"name"),
        (hardlink("h", "x").replace(b"x", b"\0"), None),
    ):
        with pytest.raises(MalformedTar) as caught, TarReader([tar(BEFORE, member)]) as reader:
            list(reader)
        assert caught.value.entry == entry
