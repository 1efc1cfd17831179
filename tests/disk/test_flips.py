"""A changed byte is found: by the checker or by the comparison where the tree is, by its sha256 alone elsewhere."""

from __future__ import annotations

import os
import random
import stat
from pathlib import Path

import pytest
from support.disks import OPTIONS
from support.everything import everything
from support.flips import finder, flips
from support.places import NOBODYS, places

from builder.disk import FILESYSTEMS
from builder.events import ignore
from builder.tree.spool import open_spool

# A few of each; ci/flip-bytes changes thousands.
PLACES: dict[str, dict[str | None, int]] = {
    "ext4": {None: 18, "content": 8, "an inode": 8, "names": 8, "a structure": 8},
    "erofs": {None: 18, "content": 8, "an inode": 8, "names": 8, "attributes": 4, "the superblock": 4},
}


@pytest.mark.heavy
@pytest.mark.parametrize("format", FILESYSTEMS)
def test_single_changed_bytes_of_the_tree_are_found(tmp_path: Path, format: str) -> None:
    chosen = random.Random(format)
    with open_spool(tmp_path) as spool:
        tree = everything(spool)
        FILESYSTEMS[format].pack(tree, spool, OPTIONS, tmp_path, tmp_path / "disk", ignore)
        with (tmp_path / "disk").open("rb") as disk:
            # Of a disk that is in order nothing is found.
            assert finder(tmp_path / "disk", format, disk.fileno(), tree, spool) == "sha256 alone"
        found = [
            flip
            for wanted, count in PLACES[format].items()
            for flip in flips(tmp_path / "disk", format, tree, spool, chosen, count, wanted)
        ]
    assert len(found) == 50
    assert [flip for flip in found if flip.finder == "sha256 alone" and flip.place not in NOBODYS] == []


@pytest.mark.heavy
def test_any_change_of_the_mode_of_a_symlink_is_found(tmp_path: Path) -> None:
    """An erofs has no checksum of it."""
    disk = tmp_path / "disk"
    with open_spool(tmp_path) as spool:
        tree = everything(spool)
        FILESYSTEMS["erofs"].pack(tree, spool, OPTIONS, tmp_path, disk, ignore)
        with disk.open("r+b", buffering=0) as file:
            fd = file.fileno()
            mode = places(FILESYSTEMS["erofs"].reader(fd), fd).spans("the mode of a symlink", disk.stat().st_size)[0]
            old = int.from_bytes(os.pread(fd, 2, mode[0]), "little")
            assert old == stat.S_IFLNK | 0o777
            for changed in (*(old ^ kind << 12 for kind in range(1, 16)), *(old ^ 1 << bit for bit in range(12))):
                os.pwrite(fd, changed.to_bytes(2, "little"), mode[0])
                assert finder(disk, "erofs", fd, tree, spool) != "sha256 alone"
