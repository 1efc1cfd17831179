"""Extended attributes: what Linux serves is kept, what means nothing in a guest is dropped, and the rest refused."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from support.entries import Layer, block, character, directory, fifo, file, hardlink, merged, node, refusal, symlink
from support.mounts import mounted

from builder.disk import FILESYSTEMS
from builder.disk.filesystem import DiskOptions
from builder.events import Event, Notice, ignore
from builder.tree.entries import Entries
from builder.tree.merge import apply_layer
from builder.tree.spool import open_spool
from builder.tree.tree import Tree
from builder.tree.xattrs import Xattrs
from builder.words import quoted

NO_ID = 2**32 - 1
OWNERS = ((0x01, 7, NO_ID), (0x04, 5, NO_ID), (0x20, 0, NO_ID))


def access_list(*entries: tuple[int, int, int]) -> bytes:
    """An ACL (linux/posix_acl_xattr.h) of (tag, permissions, id), sorted by tag."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *each) for each in sorted(entries, key=itemgetter(0)))


ACCESS = access_list(*OWNERS, (0x02, 6, 7), (0x02, 7, 5), (0x08, 4, 0), (0x10, 7, NO_ID))
DEFAULT = access_list(*OWNERS)
CAPABLE = b"\1\0\0\2" + bytes(16)

Make = Callable[..., Any]
KINDS: dict[str, Make] = {
    "file": file,
    "directory": directory,
    "symlink": lambda path, **header: symlink(path, "target", **header),
    "fifo": fifo,
    "character device": lambda path, **header: character(path, 1, 3, **header),
    "block device": lambda path, **header: block(path, 8, 1, **header),
}
EVERY_XATTR = {
    b"user.a": b"1",
    b"trusted.a": b"2",
    b"security.capability": CAPABLE,
    b"security.selinux": b"system_u:object_r:bin_t:s0\0",
    b"system.posix_acl_access": ACCESS,
    b"system.posix_acl_default": DEFAULT,
    b"trusted.overlay.opaque": b"y",
    b"user.overlay.origin": b"",
    b"com.apple.provenance": b"x",
    b"btrfs.compression": b"zstd",
    b"system.nfs4_acl": b"x",
    b"apple": b"",
}
EVERYWHERE = {b"trusted.a", b"security.capability", b"security.selinux"}
# xattr(7): `user` is for files and directories; acl(5): symlinks have no ACL, and only directories a default one.
KEPT = {
    "file": EVERYWHERE | {b"user.a", b"system.posix_acl_access"},
    "directory": EVERYWHERE | {b"user.a", b"system.posix_acl_access", b"system.posix_acl_default"},
    "symlink": EVERYWHERE,
    "fifo": EVERYWHERE | {b"system.posix_acl_access"},
    "character device": EVERYWHERE | {b"system.posix_acl_access"},
    "block device": EVERYWHERE | {b"system.posix_acl_access"},
}


def notices(*layers: Layer) -> list[str]:
    """What the last layer gives notice of."""
    said: list[Event] = []
    tree = merged(*layers[:-1])
    apply_layer(tree, "layer 7", Entries(layers[-1]), said.append)
    assert all(isinstance(event, Notice) for event in said)
    return [event.text for event in said if isinstance(event, Notice)]


def test_extended_attributes_are_kept_byte_for_byte() -> None:
    xattrs = {
        b"user." + b"n" * 250: b"",
        b"user.\xff\n": b"\0binary",
        b"user.overlay": b"no prefix of overlayfs",
        b"security.capability": CAPABLE,
        b"security.ima": bytes(65536),
        b"system.posix_acl_access": ACCESS,
        b"system.posix_acl_default": DEFAULT,
    }
    assert node(merged([directory("a", xattrs=xattrs)]), "a").xattrs == xattrs
    assert notices([directory("a", xattrs=xattrs)]) == []


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_file_keeps_what_linux_serves_on_it(kind: str) -> None:
    kept = node(merged([KINDS[kind]("a", xattrs=EVERY_XATTR)]), "a").xattrs
    assert kept == {name: EVERY_XATTR[name] for name in KEPT[kind]}


def test_what_is_dropped_is_said_once_for_each_reason_with_how_often_and_where_first() -> None:
    layer = [
        file("etc/\x1bapp", xattrs={b"com.apple.provenance": b"x", b"btrfs.compression": b"zstd"}),
        symlink("s", "t", xattrs={b"user.a": b"1"}),
        file("f", xattrs={b"com.apple.provenance": b"x"}),
        directory("d", xattrs={b"trusted.overlay.opaque": b"y"}),
        hardlink("h", "f", xattrs={b"com.apple.provenance": b"x"}),
    ]
    assert notices([file("lower", xattrs={b"com.apple.lower": b""})], layer) == [
        f"layer 7: extended attribute {sentence}"
        for sentence in (
            "'com.apple.provenance' of file 'etc/\\x1bapp' and 2 more left out: no file system of Linux keeps it",
            "'user.a' of symlink 's' left out: Linux does not serve it there",
            "'trusted.overlay.opaque' of directory 'd' left out: overlayfs would take it for its own",
        )
    ]


def test_a_directory_stated_again_loses_the_same() -> None:
    lower, upper = directory("d", xattrs={b"user.a": b"1"}), directory("d", xattrs={b"user.overlay.opaque": b"y"})
    assert node(merged([lower], [upper]), "d").xattrs == {}


def test_equal_attributes_are_one_object() -> None:
    tree = merged([file("a", xattrs={b"user.a": b"1"}), file("b", xattrs={b"user.a": b"1"})])
    assert node(tree, "a").xattrs is node(tree, "b").xattrs


@pytest.mark.root
@pytest.mark.parametrize("format", FILESYSTEMS)
def test_a_disk_holds_no_name_that_listxattr_shows_and_getxattr_denies(format: str, tmp_path: Path) -> None:
    tree, disk = Tree(), tmp_path / "disk"
    apply_layer(tree, "layer", Entries(make(kind, xattrs=EVERY_XATTR) for kind, make in KINDS.items()))
    (tmp_path / "scratch").mkdir()
    with open_spool(tmp_path) as spool:
        FILESYSTEMS[format].pack(tree, spool, DiskOptions(seed=bytes(32)), tmp_path / "scratch", disk, ignore)
    with mounted(disk) as top:
        for kind in KINDS:
            path = top / kind
            shown = {
                os.fsencode(name): os.getxattr(path, name, follow_symlinks=False)
                for name in os.listxattr(path, follow_symlinks=False)
            }
            assert shown == {name: EVERY_XATTR[name] for name in KEPT[kind]}, kind


@pytest.mark.parametrize(
    ("xattrs", "reason"),
    [
        ({b"": b""}, "its extended attribute '' is a namespace without a name"),
        ({b"user.": b""}, "its extended attribute 'user.' is a namespace without a name"),
        ({b"user.x": bytes(65537)}, "its extended attribute 'user.x' has more than 65536 bytes"),
        (
            {b"user." + b"%0250d" % i: b"" for i in range(257)},
            "the names of its extended attributes take more than 65536 bytes",
        ),
    ],
    ids=["empty", "bare", "value", "names"],
)
def test_extended_attributes_that_no_file_system_holds_are_refused(xattrs: dict[bytes, bytes], reason: str) -> None:
    assert refusal([file("a", xattrs=xattrs)]) == reason


CAPABILITIES = [bytes(20), b"\1\0\0\1" + bytes(8), b"\2\0\0\2" + bytes(16), b"\0\0\0\3" + bytes(16)]


@pytest.mark.parametrize("value", [*CAPABILITIES, b"\0\0\0\2" + bytes(20), b"\0\0\0\4" + bytes(20)])
def test_capabilities_that_linux_does_not_take_are_refused(value: bytes) -> None:
    reason = "its extended attribute 'security.capability' is no set of capabilities that Linux takes"
    assert refusal([file("a", xattrs={b"security.capability": value})]) == reason


@pytest.mark.root
@pytest.mark.parametrize("value", CAPABILITIES)
def test_linux_takes_no_capabilities_that_are_refused(value: bytes, tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    with pytest.raises(OSError, match="Invalid argument"):
        os.setxattr(tmp_path / "f", "security.capability", value)


@pytest.mark.root
def test_an_empty_capability_is_none_for_linux_and_in_the_tree(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    os.setxattr(tmp_path / "f", "security.capability", b"")
    with pytest.raises(OSError, match=r"Invalid argument|No data"):
        os.getxattr(tmp_path / "f", "security.capability")
    xattrs = Xattrs()
    (empty, _) = file("f", xattrs={b"security.capability": b"", b"user.a": b""})
    assert xattrs.kept(empty) == {b"user.a": b""}
    assert list(xattrs.dropped()) == [
        "extended attribute 'security.capability' of file 'f' left out: it is empty, and gives no capability"
    ]


def test_capabilities_of_one_user_namespace_are_kept_unless_no_root_can_have_them() -> None:
    kept = {b"security.capability": b"\1\0\0\3" + bytes(16) + b"\xe8\3\0\0"}
    assert node(merged([file("a", xattrs=kept)]), "a").xattrs == kept
    nobodys = {b"security.capability": b"\1\0\0\3" + bytes(16) + b"\xff" * 4}
    assert refusal([file("a", xattrs=nobodys)]).endswith("no set of capabilities that Linux takes")


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
    reason = f"its extended attribute {quoted(name)} is no access control list that Linux takes"
    assert refusal([directory("a", xattrs={name: value})]) == reason
    if value not in (b"", b"\2\0\0\0"):  # with which Linux takes away the list that there is
        with pytest.raises(OSError, match=r"Invalid argument|not supported"):
            os.setxattr(tmp_path, name, value)


@pytest.mark.parametrize("name", [b"user.a\0b", b"user." + b"n" * 251])
def test_names_of_extended_attributes_are_checked(name: bytes) -> None:
    assert refusal([file("a", xattrs={name: b""})]).endswith("is too long or has a NUL byte")
