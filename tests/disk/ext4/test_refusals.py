"""What ext4 cannot hold, or the machine cannot make, is refused."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from support.disks import OPTIONS, filled, pack_ext4, tree_of

from builder.disk.ext4.pack import Ext4
from builder.disk.filesystem import Compression, DiskOptions
from builder.errors import MissingRequirement, ToolMissing, TreeRefused, UsageError
from builder.tree.nodes import Device, Directory, Fifo, File, Node, Symlink
from builder.tree.spool import Spool
from builder.tree.tree import Tree


@pytest.mark.root
def test_an_output_that_does_not_fit_is_an_error(tmp_path: Path, spool: Spool) -> None:
    tree = tree_of(file=filled(spool, 3 * 2**20))
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], check=True)
    try:
        with pytest.raises(OSError, match="No space left on device"):
            pack_ext4(tree, spool, place / "image", replace(OPTIONS, journal=False))
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        (
            File(xattrs={b"user.x": bytes(4096)}),
            "its extended attributes are 56 bytes larger than ext4 can hold; erofs holds more",
        ),
        (File(xattrs={b"odd.name": b""}), "ext4 cannot hold an extended attribute named 'odd.name'"),
        (File(xattrs={b"user.": b""}), "ext4 cannot hold an extended attribute named 'user.'"),
        (Symlink(target=b"x" * 4096), "a symlink's target has 1 to 4095 bytes and no NUL"),
        (Symlink(target=b""), "a symlink's target has 1 to 4095 bytes and no NUL"),
        (Device(major=4096), "Linux has no device 4096:0"),
        (Directory(children={b"n" * 256: Fifo()}), "the name has 256 bytes, and ext4 holds 255"),
    ],
)
def test_what_ext4_cannot_hold_is_refused_with_path_and_reason(
    tmp_path: Path, spool: Spool, node: Node, reason: str
) -> None:
    with pytest.raises(TreeRefused) as caught:
        pack_ext4(Tree(Directory(children={b"dir": Directory(children={b"it": node})})), spool, tmp_path / "image")
    assert caught.value.reason == reason
    assert caught.value.path.startswith(b"dir/it")
    assert not (tmp_path / "image").exists()


@pytest.mark.heavy
def test_more_names_of_a_file_than_ext4_counts_are_refused(tmp_path: Path, spool: Spool) -> None:
    node = File()
    tree = Tree(Directory(children={b"%05d" % number: node for number in range(65001)}))
    with pytest.raises(TreeRefused, match="'/65000': a file of ext4 has at most 65000 names; erofs takes more"):
        pack_ext4(tree, spool, tmp_path / "image")
    del tree.root.children[b"00000"]
    pack_ext4(tree, spool, tmp_path / "fits")


def test_an_existing_output_is_left_alone(tmp_path: Path, spool: Spool) -> None:
    (tmp_path / "image").write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        pack_ext4(Tree(), spool, tmp_path / "image")
    assert (tmp_path / "image").read_bytes() == b"precious"


@pytest.mark.parametrize(
    "options",
    [
        replace(OPTIONS, label="seventeen letters"),
        replace(OPTIONS, label="ééééééééé"),
        replace(OPTIONS, label="\udcff"),
        replace(OPTIONS, compress=Compression("lz4")),
        replace(OPTIONS, dedupe=True),
        replace(OPTIONS, fragments=True),
        replace(OPTIONS, size=17 << 40),
        replace(OPTIONS, free=17 << 40),
        replace(OPTIONS, inodes=1 << 29),
    ],
)
def test_options_that_ext4_cannot_honour_are_refused_beforehand(options: DiskOptions) -> None:
    with pytest.raises(UsageError):
        Ext4().check(options)


def test_options_that_ext4_can_honour_pass() -> None:
    Ext4().check(replace(OPTIONS, label="sixteen letters!", size=2**30, free=2**20, inodes=9, journal=False))


def test_missing_and_old_tools_are_found_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "mke2fs"
    tool.write_text("#!/bin/sh\necho 'mke2fs 1.46.2 (28-Feb-2021)' >&2\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(MissingRequirement, match=r"mke2fs 1\.46\.2 is too old: install e2fsprogs 1\.47 or later"):
        Ext4().check(OPTIONS)
    tool.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("builder.tool._SYSTEM_DIRECTORIES", str(tmp_path))
    with pytest.raises(ToolMissing):
        Ext4().check(OPTIONS)
