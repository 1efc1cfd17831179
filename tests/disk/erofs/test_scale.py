"""Trees as large as real ones get."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.mounts import mounted

from builder.disk.erofs.pack import Erofs
from builder.disk.filesystem import Compression, DiskOptions
from builder.events import ignore
from builder.tree.nodes import Directory, File
from builder.tree.spool import open_spool
from builder.tree.tree import Tree

pytestmark = [pytest.mark.slow, pytest.mark.root]
OPTIONS = DiskOptions(seed=bytes(32))


def test_a_directory_of_a_hundred_thousand_files_is_whole(tmp_path: Path) -> None:
    tree = Tree()
    names = [b"file%06d" % number for number in range(100_000)]
    tree.root.children[b"big"] = Directory(children={name: File(mtime_ns=7) for name in names})
    with open_spool(tmp_path) as spool:
        Erofs().pack(tree, spool, OPTIONS, tmp_path, tmp_path / "disk", ignore)
    with mounted(tmp_path / "disk") as found:
        assert sorted(os.listdir(os.fsencode(found / "big"))) == names
        assert (found / "big" / "file099999").stat().st_mtime_ns == 7


def test_half_a_million_inodes_fit(tmp_path: Path) -> None:
    tree = Tree()
    with open_spool(tmp_path) as spool:
        content = spool.keep(b"abc")
        for number in range(5_000):
            children = {b"%d" % each: File(uid=number, content=content) for each in range(99)}
            tree.root.children[b"%05d" % number] = Directory(children=dict(children))
        facts = Erofs().pack(tree, spool, OPTIONS, tmp_path, tmp_path / "disk", ignore)
    assert facts.inodes == 500_001
    with mounted(tmp_path / "disk") as found:
        # The kernel has erofs say how many are free of the most there could be.
        assert -1 - os.statvfs(found).f_ffree == 500_001
        assert (found / "04999" / "98").read_bytes() == b"abc"
        assert (found / "04999" / "98").stat().st_uid == 4999


@pytest.mark.parametrize("compression", [None, Compression("lz4")])
def test_files_over_four_gigabytes_are_whole(tmp_path: Path, compression: Compression | None) -> None:
    size = (4 << 30) + 12345
    # Mostly data: 2.5 GiB of it, in one repeated block, around a hole.
    block = (b"%0512d" % 7) * 2048
    offsets = [*range(0, 1280 << 20, 1 << 20), *range(2816 << 20, size - (1 << 20), 1 << 20)]
    pieces = [*((offset, block) for offset in offsets), (size - 3, b"end")]
    tree = Tree()
    with open_spool(tmp_path) as spool:
        tree.root.children[b"large"] = File(content=spool.add(size, pieces))
        options = DiskOptions(seed=bytes(32), compress=compression)
        Erofs().pack(tree, spool, options, tmp_path, tmp_path / "disk", ignore)
    with mounted(tmp_path / "disk") as found, (found / "large").open("rb") as large:
        assert os.fstat(large.fileno()).st_size == size
        assert os.pread(large.fileno(), 4, size - 3) == b"end"
        assert os.pread(large.fileno(), 512, 1279 << 20) == b"%0512d" % 7
        assert os.pread(large.fileno(), 512, 2 << 30) == bytes(512)
        assert os.pread(large.fileno(), 512, 2816 << 20) == b"%0512d" % 7
