"""What Linux can hold is kept as it is, and what it cannot is refused."""

from __future__ import annotations

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

from builder.tree.inode import MAX_ID


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


KEPT_XATTRS = {
    b"user." + b"n" * 250: b"",
    b"user.\xff\n": b"\0binary",
    b"trusted.overlay.opaque": b"y",
    b"user.overlay.origin": b"",
    b"security.capability": b"\1\0\0\2" + bytes(16),
    b"security.ima": bytes(65536),
    b"system.posix_acl_access": b"\2\0\0\0",
    b"system.posix_acl_default": b"\2\0\0\0",
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


@pytest.mark.parametrize("name", [b"user.a\0b", b"user." + b"n" * 251])
def test_names_of_extended_attributes_are_checked(name: bytes) -> None:
    assert refusal([file("a", xattrs={name: b""})]).endswith("is too long or has a NUL byte")
