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
from builder.disk.ext4.overhead import free_blocks, whole
from builder.disk.ext4.size import Demand, make_fitting
from builder.disk.ext4.superblock import Superblock, read_superblock
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
    superblock = _made(tmp_path, layout)
    assert (superblock.blocks, superblock.free_blocks) == (layout.blocks, free_blocks(layout))
    assert whole(layout) == layout.blocks


@pytest.mark.parametrize(
    "layout",
    [Layout(32768 + 1, 7840, 4), Layout(32768 + 250, 7840, 4), Layout(65536 + 300, 15109, 16), Layout(98305, 30000, 0)],
    ids=str,
)
def test_the_least_size_of_which_no_group_is_left_out_is_known(tmp_path: Path, layout: Layout) -> None:
    least = replace(layout, blocks=whole(layout))
    assert _made(tmp_path, least).blocks == least.blocks > layout.blocks
    assert _made(tmp_path, replace(least, blocks=least.blocks - 1)).blocks == layout.blocks // 32768 * 32768


def _made(directory: Path, layout: Layout) -> Superblock:
    fd = os.open(directory / "image", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        Mke2fs(directory, UUID(int=1), UUID(int=2), "", 1).make(fd, layout, directory / "image")
        return read_superblock(fd)
    finally:
        os.close(fd)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Layout]:
    """The layouts that mke2fs is asked to make."""
    asked: list[Layout] = []
    make = Mke2fs.make

    def counted(self: Mke2fs, image: int, layout: Layout, output: Path) -> None:
        asked.append(layout)
        make(self, image, layout, output)

    monkeypatch.setattr(Mke2fs, "make", counted)
    return asked


@pytest.mark.parametrize("journal", [True, False])
@pytest.mark.parametrize("size", [None, 64 << 20])
def test_mke2fs_is_called_once_for_a_disk(tmp_path: Path, calls: list[Layout], journal: bool, size: int | None) -> None:
    """Each time it syncs four times, and a build of many images waits for that longer than for anything else."""
    with open_spool(tmp_path) as spool:
        pack_ext4(everything(spool), spool, tmp_path / "image", replace(OPTIONS, journal=journal, size=size))
    assert len(calls) == 1


@pytest.mark.parametrize("blocks", [31363, 60438, 60745])
def test_it_is_called_once_where_a_little_less_would_leave_a_group_out(
    tmp_path: Path, calls: list[Layout], blocks: int
) -> None:
    demand = Demand(blocks, blocks // 10, None, journal=True)
    fd = os.open(tmp_path / "image", os.O_RDWR | os.O_CREAT)
    try:
        make_fitting(Mke2fs(tmp_path, UUID(int=1), UUID(int=2), "", 1), fd, tmp_path / "image", demand, None)
        superblock = read_superblock(fd)
    finally:
        os.close(fd)
    assert superblock.free_blocks >= blocks
    assert _made(tmp_path, replace(calls[0], blocks=calls[0].blocks - 1)).free_blocks < blocks
    assert len(calls) == 2
