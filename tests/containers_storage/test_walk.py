"""Layers without a tar-split: tars made of their unpacked files, with overlay's marks as an image has them."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from pathlib import Path

import pytest
from support.reading import entries

from builder.archive.entry import Entry, Kind
from builder.containers_storage.handles import Handle
from builder.containers_storage.records import IdRange, LayerRecord
from builder.containers_storage.unpacked import Unpacked
from builder.containers_storage.walk import write_tar
from builder.errors import MalformedArchive, UnsupportedImage
from builder.events import Event, Notice, ignore

LAYER = LayerRecord("layer")
OVERRIDE = "user.containers.override_stat"


def walked(path: Path, layer: LayerRecord = LAYER, said: list[Event] | None = None) -> bytes:
    handle = Handle.open(str(path))
    assert handle is not None
    with closing(Unpacked(handle)) as files:
        return b"".join(write_tar(files, layer, ignore if said is None else said.append))


def named(path: Path, layer: LayerRecord = LAYER) -> dict[bytes, Entry]:
    return {entry.path: entry for entry in entries(walked(path, layer))}


@pytest.fixture
def diff(tmp_path: Path) -> Path:
    path = tmp_path / "diff"
    path.mkdir()
    return path


def test_files_come_sorted_with_all_that_they_are(diff: Path) -> None:
    (diff / "b").mkdir(mode=0o700)
    (diff / "b/file").write_bytes(b"x" * 3000)
    (diff / "b/file").chmod(0o4751)
    os.utime(diff / "b/file", ns=(0, 1_700_000_000_123_456_789))
    (diff / "b/symlink").symlink_to("../a")
    os.mkfifo(diff / "b/pipe", 0o640)
    (diff / "a").write_bytes(b"")
    os.link(diff / "b/file", diff / "c")
    found = named(diff)
    assert list(found) == [b"a", b"b/", b"c", b"b/file", b"b/pipe", b"b/symlink"]
    assert found[b"c"].kind is Kind.FILE
    assert (found[b"b/file"].kind, found[b"b/file"].link) == (Kind.HARDLINK, b"c")
    assert (found[b"c"].mode, found[b"c"].mtime_ns, found[b"c"].size) == (0o4751, 1_700_000_000_123_456_789, 3000)
    assert (found[b"c"].uid, found[b"c"].gid) == (os.geteuid(), (diff / "c").stat().st_gid)
    assert (found[b"b/"].kind, found[b"b/"].mode) == (Kind.DIRECTORY, 0o700)
    assert (found[b"b/symlink"].kind, found[b"b/symlink"].link) == (Kind.SYMLINK, b"../a")
    assert (found[b"b/pipe"].kind, found[b"b/pipe"].mode) == (Kind.FIFO, 0o640)


def test_the_same_files_make_the_same_tar(diff: Path) -> None:
    for name in "zyx":
        (diff / name).write_bytes(name.encode() * 100_000)
    assert walked(diff) == walked(diff)


def test_an_empty_layer_has_no_entries(diff: Path) -> None:
    assert walked(diff) == bytes(1024)


def test_deep_trees_and_odd_names(diff: Path) -> None:
    path = os.fsencode(diff)
    for _ in range(600):
        path += b"/\xff\n"
        os.mkdir(path)
    assert max(name.count(b"/") for name in named(diff)) == 600


def test_xattrs_are_kept_but_for_overlays_own(diff: Path) -> None:
    (diff / "file").touch()
    (diff / "directory").mkdir()
    for path in diff.iterdir():
        for name in ("user.note", "user.overlay.origin", "user.overlay.impure", "user.overlay.uuid"):
            os.setxattr(path, name, b"\0\xff")
    os.setxattr(diff, "user.overlay.impure", b"y")
    assert {name: dict(entry.xattrs) for name, entry in named(diff).items()} == {
        b"directory/": {b"user.note": b"\0\xff"},
        b"file": {b"user.note": b"\0\xff"},
    }


def test_opaque_directories_and_xattr_whiteouts_of_a_rootless_overlay(diff: Path) -> None:
    (diff / "opaque").mkdir()
    os.setxattr(diff / "opaque", "user.overlay.opaque", b"y")
    (diff / "with-whiteouts").mkdir()
    os.setxattr(diff / "with-whiteouts", "user.overlay.opaque", b"x")
    (diff / "with-whiteouts/gone").touch()
    os.setxattr(diff / "with-whiteouts/gone", "user.overlay.whiteout", b"")
    (diff / "opaque/new").touch()
    assert list(named(diff)) == [
        b"opaque/",
        b"opaque/.wh..wh..opq",
        b"with-whiteouts/",
        b"opaque/new",
        b"with-whiteouts/.wh.gone",
    ]


def test_a_layer_that_hides_all_below(diff: Path) -> None:
    os.setxattr(diff, "user.overlay.opaque", b"y")
    assert list(named(diff)) == [b".wh..wh..opq"]


def test_whiteout_files_of_fuse_overlayfs_stay_what_they_are(diff: Path) -> None:
    (diff / ".wh.gone").touch()
    assert list(named(diff)) == [b".wh.gone"]


def test_whiteouts_that_are_devices(diff: Path) -> None:
    try:
        os.mknod(diff / "gone", 0o20000, os.makedev(0, 0))
    except PermissionError:
        pytest.skip("NOT RUN: this kernel lets only root make whiteouts")
    os.link(diff / "gone", diff / "too")
    found = named(diff)
    assert {name: (entry.kind, entry.size) for name, entry in found.items()} == {
        b".wh.gone": (Kind.FILE, 0),
        b".wh.too": (Kind.FILE, 0),
    }


@pytest.mark.root
def test_marks_and_files_that_only_root_can_make(diff: Path) -> None:
    (diff / "opaque").mkdir()
    os.setxattr(diff / "opaque", "trusted.overlay.opaque", b"y")
    os.setxattr(diff / "opaque", "trusted.overlay.origin", b"x")
    os.mknod(diff / "null", 0o20666, os.makedev(1, 3))
    os.mknod(diff / "loop", 0o60660, os.makedev(7, 300))
    (diff / "capable").touch()
    os.setxattr(diff / "capable", "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))
    (diff / "capable").chmod(0o755)
    os.chown(diff / "capable", 70_000, 4_294_967_294)
    os.setxattr(diff / "capable", "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))
    os.symlink("x", diff / "link")
    os.setxattr(diff / "link", "trusted.note", b"1", follow_symlinks=False)
    found = named(diff)
    assert list(found) == [b"capable", b"link", b"loop", b"null", b"opaque/", b"opaque/.wh..wh..opq"]
    assert list(found[b"capable"].xattrs) == [b"security.capability"]
    assert (found[b"capable"].uid, found[b"capable"].gid) == (70_000, 4_294_967_294)
    assert (found[b"null"].kind, found[b"null"].major, found[b"null"].minor) == (Kind.CHARACTER, 1, 3)
    assert (found[b"loop"].kind, found[b"loop"].major, found[b"loop"].minor) == (Kind.BLOCK, 7, 300)
    assert dict(found[b"link"].xattrs) == {b"trusted.note": b"1"}
    assert dict(found[b"opaque/"].xattrs) == {}


@pytest.mark.parametrize("name", ["redirect", "metacopy", "verity", "overlay.opaque", "unknown"])
def test_content_that_is_elsewhere_is_refused(diff: Path, name: str) -> None:
    (diff / "directory").mkdir()
    os.setxattr(diff / "directory", f"user.overlay.{name}", b"/elsewhere")
    with pytest.raises(UnsupportedImage, match=f"has the xattr 'user.overlay.{name}', so its content is elsewhere"):
        walked(diff)


def test_owners_of_a_mapped_layer_are_the_images(diff: Path) -> None:
    (diff / "file").touch()
    uid, gid = os.geteuid(), (diff / "file").stat().st_gid
    ranges = ([IdRange(0, uid + 10, 5), IdRange(1000, uid, 2)], [IdRange(7, gid, 1)])
    entry = named(diff, LayerRecord("layer", uid_map=ranges[0], gid_map=ranges[1]))[b"file"]
    assert (entry.uid, entry.gid) == (1000, 7)


@pytest.mark.parametrize(
    ("stated", "kind", "mode", "numbers"),
    [
        (b"0:42:2755", Kind.FILE, 0o2755, (0, 0)),
        (b"0:42:0644:file", Kind.FILE, 0o644, (0, 0)),
        (b"0:42:0600:pipe", Kind.FIFO, 0o600, (0, 0)),
        (b"0:42:0666:char-1-3", Kind.CHARACTER, 0o666, (1, 3)),
        (b"0:42:0660:block-7-8", Kind.BLOCK, 0o660, (7, 8)),
    ],
)
def test_what_the_store_could_not_give_a_file_is_read_from_its_xattr(
    diff: Path, stated: bytes, kind: Kind, mode: int, numbers: tuple[int, int]
) -> None:
    (diff / "file").touch()
    os.setxattr(diff / "file", OVERRIDE, stated)
    entry = named(diff)[b"file"]
    assert (entry.kind, entry.uid, entry.gid, entry.mode) == (kind, 0, 42, mode)
    assert ((entry.major, entry.minor), dict(entry.xattrs)) == (numbers, {})


@pytest.mark.parametrize(
    "stated",
    [
        *(b"", b"0:0", b"0:0:99", b"a:0:644", b"0:0:644:disk", b"0:0:644:char", b"0:0:644:dir", b"0:0:644:symlink"),
        *(b"0:0:644:char-4096-0", b"0:0:644:char-0-1048576", b"0:0:644:char-%s-1" % (b"9" * 2000)),
    ],
    ids=lambda stated: stated[:30],
)
def test_an_xattr_that_does_not_say_it_is_refused(diff: Path, stated: bytes) -> None:
    (diff / "file").touch()
    os.setxattr(diff / "file", OVERRIDE, stated)
    with pytest.raises(UnsupportedImage, match="is malformed"):
        walked(diff)


@pytest.mark.parametrize("kind", [b"file", b"pipe", b"char-1-3"])
def test_an_xattr_that_would_make_what_is_there_disappear_is_refused(diff: Path, kind: bytes) -> None:
    (diff / "directory").mkdir()
    (diff / "directory/file").touch()
    os.setxattr(diff / "directory", OVERRIDE, b"0:0:755:" + kind)
    with pytest.raises(UnsupportedImage, match="is malformed"):
        walked(diff)


def test_a_socket_is_left_out_and_that_is_said(diff: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(diff)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("socket")
    said: list[Event] = []
    assert walked(diff, said=said) == bytes(1024)
    assert said == [Notice(f"{diff}/socket: a socket is left out, for no image can hold one")]


def test_a_file_that_grows_meanwhile_is_refused(diff: Path) -> None:
    (diff / "file").write_bytes(b"x" * 100)
    handle = Handle.open(str(diff))
    assert handle is not None
    with closing(Unpacked(handle)) as files:
        tar = write_tar(files, LAYER, ignore)
        next(tar)
        (diff / "file").write_bytes(b"x" * 50)
        with pytest.raises(MalformedArchive, match="was changed while it was read"):
            list(tar)
