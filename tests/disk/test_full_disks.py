"""A disk that fills up while a tool works ends the build, and says so; it never costs content."""

from __future__ import annotations

import errno
import os
import random
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support import tars
from support.disks import tree_of
from support.images import Spec, layout
from support.mounts import mounted

from builder import BuildOptions, build, unpack
from builder.disk import FILESYSTEMS
from builder.disk.erofs.buffer import reserve
from builder.disk.erofs.features import installed_features, is_at_least
from builder.disk.erofs.pack import Erofs
from builder.disk.ext4.pack import Ext4
from builder.disk.filesystem import Compression, DiskOptions, Filesystem
from builder.errors import OutputError
from builder.events import ignore
from builder.tool import run_tool
from builder.tree.nodes import Directory, File
from builder.tree.spool import Spool
from builder.tree.tree import Tree

OPTIONS = DiskOptions(seed=bytes(32), compress=Compression("lz4"))
MIB = 1 << 20
tar = pytest.mark.skipif(not installed_features().tar, reason="this mkfs.erofs reads no tar")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def compressible(spool: Spool, size: int) -> File:
    return File(content=spool.keep(b"%0512d" % 7 * (size // 512)))


def incompressible(spool: Spool, count: int, size: int) -> Directory:
    noise = random.Random(1)
    children = {b"%d" % number: File(content=spool.keep(noise.randbytes(size))) for number in range(count)}
    return Directory(children=dict(children))


def no_room(filesystem: Filesystem, tree: Tree, spool: Spool, options: DiskOptions, output: Path) -> None:
    """Pack a tree, and require the error that names the file for which there was no room."""
    scratch = output.parent.parent / "scratch"
    scratch.mkdir()
    with pytest.raises(OSError, match="No space left on device") as caught:
        filesystem.pack(tree, spool, options, scratch, output, ignore)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, os.fspath(output))


@pytest.mark.root
@tar
def test_a_disk_without_room_for_what_mkfs_erofs_puts_aside_is_named(small: Path, spool: Spool) -> None:
    no_room(Erofs(), tree_of(file=compressible(spool, 32 * MIB)), spool, OPTIONS, small / "disk")


@pytest.mark.root
def test_a_disk_that_fills_up_while_mkfs_erofs_compresses_is_named(small: Path, spool: Spool) -> None:
    # More files than mkfs.erofs has places in its queue, where 1.8 waits for ever for the thread that failed.
    tree = tree_of(many=incompressible(spool, 2000, 8192))
    (small / "other").write_bytes(bytes(7 * MIB if installed_features().tar else 15 * MIB))
    no_room(Erofs(), tree, spool, OPTIONS, small / "disk")


@pytest.mark.root
@pytest.mark.skipif(not is_at_least(installed_features().version, 1, 6), reason="this mkfs.erofs has no fragments")
def test_a_work_directory_without_room_for_fragments_is_named(tmp_path: Path, small: Path, spool: Spool) -> None:
    # Fewer bytes each than a block, and together more than there is room for.
    tree = tree_of(many=incompressible(spool, 9000, 3000))
    with pytest.raises(OSError, match="No space left on device") as caught:
        Erofs().pack(tree, spool, replace(OPTIONS, fragments=True), small, tmp_path / "disk", ignore)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, os.fspath(small))


@pytest.mark.root
def test_a_disk_without_room_for_the_tables_that_mke2fs_writes_is_named(small: Path, spool: Spool) -> None:
    (small / "other").write_bytes(bytes(24 * MIB - 8192))
    no_room(Ext4(), tree_of(), spool, replace(OPTIONS, compress=None), small / "disk")


@pytest.mark.root
@tar
def test_content_is_whole_if_the_disk_is_full_while_mkfs_erofs_reads_it(
    tmp_path: Path, small: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reserve_and_fill(fd: int, output: Path, sizes: Iterable[int]) -> bool:
        assert reserve(fd, output, sizes)
        status = os.statvfs(small)
        (small / "other").write_bytes(bytes(status.f_bavail * status.f_bsize - MIB))
        return True

    monkeypatch.setattr("builder.disk.erofs.mkfs.reserve", reserve_and_fill)
    tree = tree_of(file=compressible(spool, 16 * MIB), many=incompressible(spool, 40, 4096))
    Erofs().pack(tree, spool, OPTIONS, tmp_path, small / "disk", ignore)
    with mounted(small / "disk") as found:
        assert (found / "file").read_bytes() == b"%0512d" % 7 * (32 * 1024)
        noise = random.Random(1)
        assert [(found / "many" / str(number)).read_bytes() for number in range(40)] == [
            noise.randbytes(4096) for _ in range(40)
        ]


@tar
def test_what_is_compressed_is_staged_where_no_room_can_be_allocated(
    tmp_path: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builder.disk.erofs.mkfs.reserve", lambda fd, output, sizes: False)
    monkeypatch.setattr("builder.disk.erofs.mkfs.write_tar", None)
    Erofs().pack(tree_of(file=compressible(spool, MIB)), spool, OPTIONS, tmp_path, tmp_path / "disk", ignore)
    run_tool(["fsck.erofs", tmp_path / "disk"])


def test_room_for_what_is_put_aside_leaves_the_file_empty(tmp_path: Path) -> None:
    with (tmp_path / "disk").open("wb") as disk:
        assert reserve(disk.fileno(), tmp_path / "disk", [1, 5000, 0])
    status = (tmp_path / "disk").stat()
    assert (status.st_size, status.st_blocks * 512) == (0, 3 * 4096)


@pytest.mark.root
@pytest.mark.parametrize("tmpdir_is_full", [False, True])
@pytest.mark.parametrize("format", FILESYSTEMS)
def test_a_build_says_which_place_is_full_and_what_to_do(
    tmp_path: Path, small: Path, format: str, tmpdir_is_full: bool
) -> None:
    noise = random.Random(1)
    layout(tmp_path / "layout", Spec((tars.tar(*(tars.file(f"{n}", noise.randbytes(100_000)) for n in range(300))),)))
    place, other = (tmp_path, small) if tmpdir_is_full else (small, tmp_path)
    with pytest.raises(OutputError) as caught:
        build(f"oci:{tmp_path / 'layout'}", place / f"disk.{format}", BuildOptions(tmpdir=other))
    assert caught.value.reason == "No space left on device; free space, or choose another --tmpdir or output"
    assert caught.value.path.startswith(f"{small}/.")
    assert list(small.iterdir()) == []


@pytest.mark.root
def test_so_does_what_unpacks(tmp_path: Path, small: Path) -> None:
    noise = random.Random(1).randbytes(30 * MIB)
    layout(tmp_path / "layout", Spec((tars.tar(tars.file("large", noise)),)))
    with pytest.raises(OutputError) as caught:
        unpack(f"oci:{tmp_path / 'layout'}", small / "tree", BuildOptions(tmpdir=tmp_path))
    said = "cannot write '/large': No space left on device; free space, or choose another directory"
    assert str(caught.value) == f"{small}/tree: {said}"
    assert list(small.iterdir()) == []
