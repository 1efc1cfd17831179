from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support.reading import entries, only, reader_refusal, refusal
from support.tars import directory, file, hardlink, pax, symlink, tar

from builder.archive.acl import encode
from builder.errors import MalformedTar

NAMED = "user::rw-,user:1234:rwx,group::r--,group:5678:--x,mask::rwx,other::---"
# Version 2, then (tag, permissions, id) of each entry: the layout of linux/posix_acl_xattr.h, all little-endian.
VALUE = bytes.fromhex(
    "02000000 01000600ffffffff 02000700d2040000 04000400ffffffff 080001002e160000 10000700ffffffff 20000000ffffffff"
)
ACCESS, DEFAULT = b"system.posix_acl_access", b"system.posix_acl_default"


def acl(text: str, mode: int = 0o670) -> bytes:
    return pax({"SCHILY.acl.access": text}) + file("f", mode=mode)


def test_acl_text_becomes_the_xattr_that_the_kernel_has() -> None:
    assert encode(NAMED.encode()) == VALUE
    assert encode(NAMED.replace(",", "\n").encode() + b"\n") == VALUE
    assert encode(NAMED.replace("1234:rwx", "anna:rwx:1234").encode()) == VALUE
    assert encode(",".join(reversed(NAMED.split(","))).encode()) == VALUE


def test_an_acl_is_an_xattr_of_its_entry() -> None:
    entry = only(acl(NAMED))
    assert (entry.mode, dict(entry.xattrs)) == (0o670, {ACCESS: VALUE})
    records = {"SCHILY.acl.default": NAMED, "SCHILY.xattr.user.a": "1"}
    assert dict(only(pax(records) + directory("d")).xattrs) == {DEFAULT: VALUE, b"user.a": b"1"}


def test_the_mask_is_the_mode_of_the_group_even_where_bsdtar_writes_the_groups_own() -> None:
    assert only(acl(NAMED, mode=0o4640)).mode == 0o4670


def test_an_acl_that_says_only_the_mode_is_none() -> None:
    for text in ("user::rw-,group::r--,other::r--", "user::rw-\ngroup::r--\nother::r--\n"):
        assert dict(only(acl(text, mode=0o644)).xattrs) == {}
    # A default ACL means something, however short it is.
    short = pax({"SCHILY.acl.default": "user::rwx,group::r-x,other::---"})
    assert list(only(short + directory("d")).xattrs) == [DEFAULT]


def test_an_acl_of_a_hardlink_or_beside_the_same_xattr() -> None:
    link = pax({"SCHILY.acl.access": NAMED}) + hardlink("h", "f", mode=0)
    assert [entry.path for entry in entries(tar(file("f"), link))] == [b"f", b"h"]
    both = {"SCHILY.acl.access": NAMED, "SCHILY.xattr.system.posix_acl_access": "other"}
    assert "two values" in reader_refusal(pax(both) + file("f", mode=0o670))


@pytest.mark.parametrize(
    "text",
    [
        ",",
        "x",
        "user::rw-",
        "user::rw-,group::r--",
        "user::rw-,group::r--,other::r--,other::r--",
        "user::rw-,group::r--,other::r--,user:1:r--",
        "user::rw-,group::r--,other:1:r--",
        "user::rw-,group::r--,other::r--,mask:1:r--",
        "user::wr-,group::r--,other::r--",
        "user::rw-,group::r--,other::r--,mask::rwx,user:1:rwx,user:01:rwx",
        "user::rw-,group::r--,other::r--,mask::rwx,user:4294967295:rwx",
        "user::rw-,group::r--,other::r--,mask::rwx,user:99999999999:rwx",
        "user::rw-,group::r--,other::r--,other::r--:",
        "user::rw-\0,group::r--,other::r--",
    ],
)
def test_malformed_acls_are_refused(text: str) -> None:
    for key in ("SCHILY.acl.access", "SCHILY.acl.default"):
        assert "ACL" in refusal(pax({key: text}) + file("f"))


def test_an_acl_for_somebody_without_a_number_is_refused() -> None:
    assert "names user 'anna' without a number" in refusal(acl(NAMED.replace("1234", "anna")))


def test_an_acl_that_contradicts_the_mode_is_refused() -> None:
    assert "its mode is 604, but its ACL says 670" in refusal(acl(NAMED, mode=0o604))


def test_far_too_many_entries_are_refused() -> None:
    text = NAMED + "".join(f",user:{number}:r--" for number in range(2000, 4000))
    with pytest.raises(MalformedTar, match="malformed"):
        encode(text.encode())


def test_an_acl_of_a_symlink_is_no_mode() -> None:
    text = "user::rwx,group::rwx,other::rwx"
    assert dict(only(pax({"SCHILY.acl.access": text}) + symlink("s", "t")).xattrs) == {}


def test_selinux_labels_of_gnu_tar_are_xattrs() -> None:
    label = "system_u:object_r:bin_t:s0"
    assert dict(only(pax({"RHT.security.selinux": label}) + file("f")).xattrs) == {b"security.selinux": label.encode()}
    assert "holds a NUL" in refusal(pax({"RHT.security.selinux": "a\0b"}) + file("f"))


@pytest.mark.parametrize(
    "words",
    [["tar", "--acls", "-cf"], ["bsdtar", "--acls", "-cf"], ["bsdtar", "--acls", "--numeric-owner", "-cf"]],
    ids=" ".join,
)
def test_what_tar_programs_make_of_a_files_acl(words: list[str], tmp_path: Path) -> None:
    if shutil.which(words[0]) is None:
        pytest.skip(f"NOT RUN: {words[0]} is not installed")
    source = tmp_path / "f"
    source.touch()
    source.chmod(0o600)
    os.setxattr(source, ACCESS, VALUE)
    subprocess.run([*words, "out.tar", "f"], cwd=tmp_path, check=True)
    (entry,) = entries((tmp_path / "out.tar").read_bytes())
    assert (entry.mode, dict(entry.xattrs)) == (0o670, {ACCESS: VALUE})
