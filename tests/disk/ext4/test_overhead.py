"""What an empty file system takes for itself is reckoned as mke2fs makes it, so that it is made once."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from support.disks import OPTIONS, pack_ext4
from support.everything import everything

from builder.disk.ext4.mke2fs import Layout, Mke2fs
from builder.disk.ext4.overhead import free_blocks
from builder.disk.ext4.superblock import read_superblock
from builder.tree.spool import open_spool


@pytest.mark.parametrize(
    "layout",
    [
        Layout(596, 292, 0),
        Layout(3142, 1389, 4),
        Layout(31667, 14123, 16),
        Layout(66901, 11819, 0),
        Layout(206685, 20232, 0),
        Layout(552414, 218195, 64),
        Layout(899490, 273781, 4),
        # Many groups, of which several have copies of the superblock, and a journal of several extents.
        Layout(32768 * 130 + 9000, 300000, 256),
    ],
    ids=str,
)
def test_as_many_blocks_are_free_as_was_reckoned(tmp_path: Path, layout: Layout) -> None:
    fd = os.open(tmp_path / "image", os.O_RDWR | os.O_CREAT)
    Mke2fs(tmp_path, UUID(int=1), UUID(int=2), "", 1).make(fd, layout, tmp_path / "image")
    superblock = read_superblock(fd)
    os.close(fd)
    assert (superblock.blocks, superblock.free_blocks) == (layout.blocks, free_blocks(layout))


@pytest.mark.parametrize("journal", [True, False])
@pytest.mark.parametrize("size", [None, 64 << 20])
def test_mke2fs_is_called_once_for_a_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, journal: bool, size: int | None
) -> None:
    """Each time it syncs four times, and a build of many images waits for that longer than for anything else."""
    calls: list[Layout] = []
    make = Mke2fs.make

    def counted(self: Mke2fs, image: int, layout: Layout, output: Path) -> None:
        calls.append(layout)
        make(self, image, layout, output)

    monkeypatch.setattr(Mke2fs, "make", counted)
    with open_spool(tmp_path) as spool:
        pack_ext4(everything(spool), spool, tmp_path / "image", replace(OPTIONS, journal=journal, size=size))
    assert len(calls) == 1
