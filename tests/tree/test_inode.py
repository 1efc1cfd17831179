"""What Linux can hold is kept as it is, and what it cannot is refused."""

from __future__ import annotations

import os
import struct
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from support.entries import (
    block,
    character,
    directory,
    fifo,
    file,
    merged,
    node,
    refusal,
    symlink,
)
from support.trees import listing

from builder.linux import MAX_ID


def test_owners_go_up_to_the_largest_id() -> None:
    tree = merged([file("a", uid=MAX_ID, gid=MAX_ID)])
    assert (node(tree, "a").uid, node(tree, "a").gid) == (4294967294, 4294967294)


@pytest.mark.parametrize("header", [{"uid": MAX_ID + 1}, {"gid": MAX_ID + 1}, {"uid": -1}, {"gid": -1}])
@pytest.mark.parametrize("make", [file, directory, fifo])
def test_owners_out_of_range_are_refused(make: Any, header: dict[str, int]) -> None:
    assert "is not between 0 and 4294967294" in refusal([make("a", **header)])


@pytest.mark.parametrize(("major", "minor"), [(4096, 0), (0, 2**20), (-1, 0), (0, -1)])
@pytest.mark.parametrize("make", [character, block])
def test_devices_out_of_range_are_refused(make: Any, major: int, minor: int) -> None:
    assert refusal([make("a", major, minor)]) == (
        f"is a device {major}:{minor}, and Linux has none beyond 4095:1048575"
    )


def test_symlink_targets_have_up_to_4095_bytes() -> None:
    assert listing(merged([symlink("a", "t" * 4095)])) == ["a -> " + "t" * 4095]
    assert refusal([symlink("a", "t" * 4096)]) == "is a symlink with a target of more than 4095 bytes"
    assert refusal([symlink("a", "")]) == "is a symlink to nothing"
    assert refusal([symlink("a", "b\0c")]) == "is a symlink with a NUL byte in its target"


NO_ID = 2**32 - 1
OWNERS = ((0x01, 7, NO_ID), (0x04, 5, NO_ID), (0x20, 0, NO_ID))


def access_list(*entries: tuple[int, int, int]) -> bytes:
    """An ACL (linux/posix_acl_xattr.h) of (tag, permissions, id), sorted by tag."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *each) for each in sorted(entries, key=itemgetter(0)))


KEPT_XATTRS = {
    b"user." + b"n" * 250: b"",
    b"user.\xff\n": b"\0binary",
    b"trusted.overlay.opaque": b"y",
    b"user.overlay.origin": b"",
    b"security.capability": b"\1\0\0\2" + bytes(16),
    b"security.ima": bytes(65536),
    b"system.posix_acl_access": access_list(*OWNERS, (0x02, 6, 7), (0x02, 7, 5), (0x08, 4, 0), (0x10, 7, NO_ID)),
    b"system.posix_acl_default": access_list(*OWNERS),
}


def test_extended_attributes_are_kept_byte_for_byte() -> None:
    assert node(merged([directory("a", xattrs=KEPT_XATTRS)]), "a").xattrs == KEPT_XATTRS


@pytest.mark.parametrize(
    ("xattrs", "reason"),
    [
        ({b"": b""}, "its extended attribute b'' is in no namespace that Linux file systems keep"),
        ({b"user.": b""}, "its extended attribute b'user.' is in no namespace that Linux file systems keep"),
        (
            {b"com.apple.x": b""},
            "its extended attribute b'com.apple.x' is in no namespace that Linux file systems keep",
        ),
        (
            {b"system.nfs4_acl": b""},
            "its extended attribute b'system.nfs4_acl' is in no namespace that Linux file systems keep",
        ),
        ({b"user.x": bytes(65537)}, "its extended attribute b'user.x' has more than 65536 bytes"),
        (
            {b"user." + b"%0250d" % i: b"" for i in range(257)},
            "the names of its extended attributes take more than 65536 bytes",
        ),
    ],
    ids=["empty", "bare", "apple", "nfs", "value", "names"],
)
def test_extended_attributes_that_no_file_system_holds_are_refused(xattrs: dict[bytes, bytes], reason: str) -> None:
    assert refusal([file("a", xattrs=xattrs)]) == reason


@pytest.mark.parametrize("name", [b"system.posix_acl_access", b"system.posix_acl_default"])
@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"?",
        b"\2\0\0\0",
        b"\1" + access_list(*OWNERS)[1:],
        access_list(*OWNERS) + b"\0",
        access_list(*OWNERS)[:-8],
        access_list(*OWNERS, OWNERS[0]),
        access_list(*OWNERS, (0x10, 7, NO_ID), (0x10, 7, NO_ID)),
        access_list(*OWNERS, (0x02, 7, 5)),
        access_list(*OWNERS, (0x02, 7, NO_ID), (0x10, 7, NO_ID)),
        access_list(*OWNERS, (0x02, 8, 5), (0x10, 7, NO_ID)),
        access_list(*OWNERS, (0x03, 7, 5)),
        access_list(*OWNERS)[:4] + access_list(*OWNERS)[12:] + access_list(*OWNERS)[4:12],
    ],
    ids=[
        *("empty", "garbage", "no-entries", "version", "odd", "no-other", "two-owners", "two-masks", "no-mask"),
        *("no-user", "permissions", "kind", "order"),
    ],
)
def test_access_control_lists_that_linux_does_not_take_are_refused(tmp_path: Path, name: bytes, value: bytes) -> None:
    reason = f"its extended attribute {name!r} is no access control list that Linux takes"
    assert refusal([directory("a", xattrs={name: value})]) == reason
    if value not in (b"", b"\2\0\0\0"):  # with which Linux takes away the list that there is
        with pytest.raises(OSError, match=r"Invalid argument|not supported"):
            os.setxattr(tmp_path, name, value)


@pytest.mark.parametrize("name", [b"user.a\0b", b"user." + b"n" * 251])
def test_names_of_extended_attributes_are_checked(name: bytes) -> None:
    assert refusal([file("a", xattrs={name: b""})]).endswith("is too long or has a NUL byte")
