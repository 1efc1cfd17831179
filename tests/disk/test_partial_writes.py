"""Calls that do less than they were asked for, and disks that fill up, never make a wrong disk."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from support import tars
from support.everything import everything
from support.images import Spec, layout
from support.mounts import mounted
from support.partial import cut_short, fail_at

from builder import build
from builder.disk import FILESYSTEMS, content
from builder.disk.filesystem import Compression, DiskOptions
from builder.errors import OutputError
from builder.events import ignore
from builder.tool import run_tool
from builder.tree.spool import open_spool

WRITES = ("write", "pwrite", "copy_file_range", "sendfile")
# With the content moved, where the host can, and copied.
FORMS = [
    ("ext4", None, True), ("ext4", None, False),
    ("erofs", None, True), ("erofs", Compression("lz4"), True),
]  # fmt: skip


Packing = Callable[[Path], bytes]


@pytest.fixture(params=FORMS, ids=lambda form: "-".join(str(part) for part in form))
def pack(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Packing:
    """How to pack one of everything in a directory, which is made, and read the disk."""
    format, compression, spent = request.param
    options = DiskOptions(seed=bytes(32), compress=compression)
    monkeypatch.setattr(content, "_WORTH", 0)

    def packed(place: Path) -> bytes:
        place.mkdir()
        with open_spool(place, spent=spent) as spool:
            tree = everything(spool)
            spool.settle()
            FILESYSTEMS[format].pack(tree, spool, options, place, place / "disk", ignore)
            return (place / "disk").read_bytes()

    return packed


def test_calls_that_do_half_of_what_they_should_make_the_same_disk(tmp_path: Path, pack: Packing) -> None:
    whole = pack(tmp_path / "whole")
    for every in (1, 2, 3, 7):
        with pytest.MonkeyPatch.context() as monkeypatch:
            count = cut_short(monkeypatch, every)
            assert pack(tmp_path / str(every)) == whole
            assert count() > 1


def test_a_write_that_fails_is_never_overlooked(tmp_path: Path, pack: Packing) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    for number in (1, 2, 3, 5):
        with pytest.MonkeyPatch.context() as monkeypatch:
            fail_at(monkeypatch, WRITES, number, full)
            with pytest.raises(OSError, match="No space left") as caught:
                pack(tmp_path / str(number))
        assert caught.value is full


@pytest.mark.root
@pytest.mark.parametrize("format", FILESYSTEMS)
def test_a_disk_too_small_for_many_names_of_one_file_gets_no_wrong_one(tmp_path: Path, format: str) -> None:
    names = [f"directory/name-of-a-hardlink-{number:04}" for number in range(5000)]
    links = [tars.hardlink(name, "file") for name in names]
    layer = tars.tar(tars.directory("directory"), tars.file("file", b"content"), *links)
    layout(tmp_path / "layout", Spec((layer,)))
    outcomes = set()
    for kib in (*range(150, 1050, 50), 8192):
        place = tmp_path / str(kib)
        place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", place], check=True)
        try:
            with suppress(OutputError):
                build(f"oci:{tmp_path / 'layout'}", place / f"disk.{format}")
            found = list(place.iterdir())
            for disk in found:
                check(disk, names)
            outcomes.add(len(found))
        finally:
            subprocess.run(["umount", place], check=True)
    # Too small for most, and not for the last.
    assert outcomes == {0, 1}


def check(disk: Path, names: list[str]) -> None:
    """Require a disk that its own tool accepts, and that has these names of one file."""
    run_tool(["fsck.erofs", disk] if disk.suffix == ".erofs" else ["e2fsck", "-fn", disk])
    with mounted(disk) as root:
        assert sorted(f"directory/{name}" for name in os.listdir(root / "directory")) == names
        assert {(root / name).read_bytes() for name in (names[0], names[-1], "file")} == {b"content"}
        assert (root / "file").stat().st_nlink == 5001
