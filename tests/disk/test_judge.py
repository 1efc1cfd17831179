"""Nothing is published that its format's own tool finds faulty."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from support import tars
from support.everything import everything
from support.images import Spec, layout

from builder import BuildOptions, build
from builder.disk import FILESYSTEMS
from builder.disk.filesystem import HEAD, DiskOptions, Filesystem
from builder.disk.judge import DiskFaulty
from builder.errors import MissingRequirement, ToolFailed, ToolMissing
from builder.events import Listener, ignore
from builder.sandbox.policy import policy
from builder.tool import find_tool
from builder.tree.nodes import Directory
from builder.tree.spool import Spool
from builder.tree.tree import Tree

OPTIONS = DiskOptions(seed=bytes(32))
FOUND = {
    "ext4": "^e2fsck finds the new disk faulty, so it is not published: '.*group descriptor.*'; please report this$",
    "erofs": "^fsck.erofs finds the new disk faulty, so it is not published: '<E> erofs: .*'; please report this$",
}


@pytest.fixture(params=FILESYSTEMS)
def filesystem(request: pytest.FixtureRequest) -> Filesystem:
    return FILESYSTEMS[request.param]


def damage(image: Path) -> None:
    """Overwrite all of an image behind its first half block, where superblocks are."""
    size = image.stat().st_size
    with image.open("r+b") as file:
        file.seek(2048)
        file.write(b"\xa5" * (min(size, 1 << 20) - 2048))


def test_a_disk_that_is_right_passes_whatever_its_times(filesystem: Filesystem, spool: Spool, tmp_path: Path) -> None:
    # The second is later than any clock.
    for epoch in (1, 2**32 - 1):
        scratch = tmp_path / f"a?b {epoch}"
        scratch.mkdir()
        image = scratch / "-disk?"
        filesystem.pack(everything(spool), spool, DiskOptions(seed=bytes(32), epoch=epoch), scratch, image, ignore)
        before = image.read_bytes()
        filesystem.verify(image, image.parent)
        assert image.read_bytes() == before


def test_a_tree_as_deep_as_paths_can_be_passes(filesystem: Filesystem, spool: Spool, tmp_path: Path) -> None:
    tree = Tree()
    directory = tree.root
    for _ in range(2047):
        directory.children[b"d"] = directory = Directory()
    filesystem.pack(tree, spool, OPTIONS, tmp_path, tmp_path / "disk", ignore)
    filesystem.verify(tmp_path / "disk", tmp_path)


def test_a_damaged_disk_is_found_in_the_words_of_the_tool(filesystem: Filesystem, spool: Spool, tmp_path: Path) -> None:
    filesystem.pack(everything(spool), spool, OPTIONS, tmp_path, tmp_path / "disk", ignore)
    damage(tmp_path / "disk")
    with pytest.raises(DiskFaulty, match=FOUND[filesystem.name]) as caught:
        filesystem.verify(tmp_path / "disk", tmp_path)
    assert (caught.value.exit_status, str(caught.value).splitlines()) == (1, [str(caught.value)])


def test_what_e2fsck_cannot_look_at_is_said_and_not_that_it_failed(spool: Spool, tmp_path: Path) -> None:
    """Before it come words on mounts, which it may not look at here, and behind it that there still are errors."""
    FILESYSTEMS["ext4"].pack(everything(spool), spool, OPTIONS, tmp_path, tmp_path / "disk", ignore)
    # Features to come, and no checksums.
    for incompat, ro_compat in ((1 << 19 | 0x2C2, 0x6B), (0x2C2, 1 << 19 | 0x6B)):
        with (tmp_path / "disk").open("r+b") as file:
            file.seek(1024 + 0x60)
            file.write(struct.pack("<II", incompat, ro_compat))
        with policy("auto"), pytest.raises(DiskFaulty, match=r"'the disk has unsupported feature\(s\): FEATURE_[IR]19"):
            FILESYSTEMS["ext4"].verify(tmp_path / "disk", tmp_path)
    os.truncate(tmp_path / "disk", 2048)
    with pytest.raises(DiskFaulty, match="'Attempt to read block from filesystem resulted in short read"):
        FILESYSTEMS["ext4"].verify(tmp_path / "disk", tmp_path)


@pytest.mark.parametrize(
    ("said", "is_unknown"),
    [
        ("<E> erofs: unidentified incompatible feature 20, please upgrade kernel version", True),
        ("<E> erofs: unidentified algorithms 10, please upgrade erofs-utils", True),
        ("<E> erofs: blksize 1024 isn't supported on this platform", True),
        ("<E> erofs: unknown compression format 3 for nid 79", True),
        ("<E> erofs: unknown HEAD1 format 4 for nid 79", True),
        ("<E> erofs: cannot find a valid erofs superblock", False),
    ],
)
def test_a_checker_that_is_too_old_is_known_by_its_words(said: str, is_unknown: bool) -> None:
    assert DiskFaulty("fsck.erofs", said).is_unknown == is_unknown


def test_a_checker_that_is_killed_has_found_nothing(
    filesystem: Filesystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("e2fsck", "fsck.erofs"):
        (tmp_path / name).write_text("#!/bin/sh\nkill -SEGV $$\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "disk").touch()
    with pytest.raises(ToolFailed, match=r"^(e2fsck|fsck\.erofs) was killed by signal 11"):
        filesystem.verify(tmp_path / "disk", tmp_path)


def test_a_checker_that_writes_to_the_disk_is_none(
    filesystem: Filesystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("e2fsck", "fsck.erofs"):
        (tmp_path / name).write_text('#!/bin/sh\nfor image in "$@"; do :; done\necho > "$image"\n')
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "disk").touch()
    # Confined, it cannot.
    told = r"^(e2fsck|fsck\.erofs) changed the disk instead of checking it: "
    with policy("off"), pytest.raises(MissingRequirement, match=told):
        filesystem.verify(tmp_path / "disk", tmp_path)


@pytest.fixture
def image(tmp_path: Path) -> str:
    layout(tmp_path / "layout", Spec((tars.tar(tars.file("file", b"content")),)))
    return f"oci:{tmp_path / 'layout'}"


@pytest.fixture
def faulty(filesystem: Filesystem, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have one format pack damaged disks, and return its name."""
    pack = filesystem.pack

    def packed(tree: Tree, spool: Spool, options: DiskOptions, scratch: Path, output: Path, listen: Listener) -> object:
        facts = pack(tree, spool, options, scratch, output, listen)
        damage(output)
        return facts

    monkeypatch.setattr(type(filesystem), "pack", staticmethod(packed))
    return filesystem.name


def test_a_faulty_disk_is_not_published_and_leaves_the_old_one(faulty: str, image: str, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    (place / f"disk.{faulty}").touch()
    with pytest.raises(DiskFaulty):
        build(image, place / f"disk.{faulty}")
    assert [(path.name, path.stat().st_size) for path in place.iterdir()] == [(f"disk.{faulty}", 0)]


def test_a_disk_is_published_unchecked_where_that_is_asked_for(faulty: str, image: str, tmp_path: Path) -> None:
    build(image, tmp_path / f"disk.{faulty}", BuildOptions(disk=DiskOptions(check=False)))
    assert (tmp_path / f"disk.{faulty}").stat().st_size > 0


def test_a_missing_checker_is_told_before_anything_is_read(
    filesystem: Filesystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = {"ext4": "mke2fs", "erofs": "mkfs.erofs"}
    for name in ("sh", tools[filesystem.name]):
        (tmp_path / name).symlink_to(find_tool(name))
    monkeypatch.setattr("builder.tool._SYSTEM_DIRECTORIES", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match=r"^(e2fsck|fsck\.erofs) is not installed: install e") as caught:
        filesystem.check(OPTIONS)
    assert caught.value.exit_status == 4


def test_each_format_recognises_its_own_disks_only(spool: Spool, tmp_path: Path) -> None:
    for name, filesystem in FILESYSTEMS.items():
        scratch = tmp_path / name
        scratch.mkdir()
        filesystem.pack(Tree(), spool, OPTIONS, scratch, scratch / "disk", ignore)
        head = (scratch / "disk").read_bytes()[:HEAD]
        assert [other for other, each in FILESYSTEMS.items() if each.recognises(head)] == [name]
        assert not filesystem.recognises(head[:1024])
        assert not filesystem.recognises(b"")


def test_a_checker_may_put_something_aside_below_the_scratch_that_goes_with_the_build(
    filesystem: Filesystem, spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As fsck.erofs does with fragments, from 1.8 on."""
    filesystem.pack(everything(spool), spool, OPTIONS, tmp_path, tmp_path / "disk", ignore)
    name = {"ext4": "e2fsck", "erofs": "fsck.erofs"}[filesystem.name]
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / name).write_text(f'#!/bin/sh\n: > "$(mktemp)" && exec {find_tool(name)} "$@"\n')
    (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    filesystem.verify(tmp_path / "disk", scratch)
    assert [path.is_file() for path in scratch.glob("*/*")] == [True]
