"""Content is moved where that is worth it and the host can, and copied elsewhere."""

from __future__ import annotations

import os
import shutil
import tracemalloc
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryFile

import pytest
from support.hosts import host
from support.moves import BLOCK, MANY, Piece, asked, is_moved, made, shifts

from builder.disk import content as placing
from builder.disk.content import begun
from builder.disk.shift import Move
from builder.tree.spool import Spool, open_spool


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have little content moved, too."""
    monkeypatch.setattr(placing, "_WORTH", 0)


def test_content_is_moved_where_the_host_can_and_copied_elsewhere(tmp_path: Path) -> None:
    with open_spool(tmp_path, spent=True) as spool:
        wanted = asked(spool, MANY)
        output = made(spool, tmp_path, wanted)
        assert output.read_bytes() == wanted.disk
        assert is_moved(spool, output) == shifts(tmp_path)
        # Nothing is left of what is not moved, and there is no room taken for it.
        assert output.stat().st_blocks * 512 <= sum(move.length for move in wanted.moves) + 100 * BLOCK


@pytest.mark.root
@pytest.mark.parametrize(
    ("kind", "moved"),
    [("ext4", True), ("ext4 of small blocks", True), ("xfs", True)]
    + [(kind, False) for kind in ("ext4 of clusters", "ext2", "tmpfs")],
)
def test_each_kind_of_host_gives_the_same_disk(tmp_path: Path, kind: str, moved: bool) -> None:
    if kind == "xfs" and not shutil.which("mkfs.xfs"):
        pytest.skip("NOT RUN: needs mkfs.xfs; ci/setup brings it (xfsprogs)")
    if kind == "xfs" and "xfs" not in Path("/proc/filesystems").read_text():
        pytest.skip("NOT RUN: needs a kernel with XFS")
    with host(kind, tmp_path) as place, open_spool(place, spent=True) as spool:
        wanted = asked(spool, MANY)
        output = made(spool, place, wanted)
        assert (output.read_bytes(), is_moved(spool, output)) == (wanted.disk, moved)


@pytest.mark.root
def test_a_disk_has_the_group_of_its_directory_wherever_content_came(tmp_path: Path) -> None:
    (output := tmp_path / "shared").mkdir()
    os.chown(output, -1, 7)
    output.chmod(0o2755)
    with open_spool(tmp_path, spent=True) as spool:
        wanted = asked(spool, MANY)
        disk = made(spool, output, wanted)
        assert (disk.read_bytes(), disk.stat().st_gid) == (wanted.disk, 7)


def test_a_host_that_cannot_give_the_spools_file_a_name_has_content_copied(tmp_path: Path) -> None:
    # One that is unlinked, as where there is no O_TMPFILE.
    with TemporaryFile(dir=tmp_path, buffering=0) as file, closing(Spool(file.fileno(), spent=True)) as spool:
        wanted = asked(spool, MANY)
        output = made(spool, tmp_path, wanted)
        assert (output.read_bytes(), is_moved(spool, output)) == (wanted.disk, False)


@pytest.mark.parametrize(
    "chosen",
    [
        pytest.param([*MANY[:9], *(each._replace(lent=True) for each in MANY[:9])] * 2, id="most is lent"),
        pytest.param([], id="nothing"),
    ],
)
def test_what_is_not_worth_it_is_copied(tmp_path: Path, chosen: list[Piece]) -> None:
    with open_spool(tmp_path, spent=True) as spool:
        wanted = asked(spool, [*chosen, *(each._replace(lent=True) for each in chosen)])
        output = made(spool, tmp_path, wanted)
        assert (output.read_bytes(), is_moved(spool, output)) == (wanted.disk, False)


def test_short_stretches_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with open_spool(tmp_path, spent=True) as spool:
        wanted = asked(spool, MANY)
        output = made(spool, tmp_path, wanted)
        assert (output.read_bytes(), is_moved(spool, output)) == (wanted.disk, False)


def test_content_between_many_holes_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    data = (b"x" * BLOCK + bytes(BLOCK)) * 300
    with open_spool(tmp_path, spent=True) as spool:
        content = spool.keep(data)
        moves = [Move(start, BLOCK + start // 2, length) for start, length in spool.data(content)]
        with begun(tmp_path / "disk", spool, [content], tmp_path) as disk:
            disk.fill(moves, 301 * BLOCK, lambda _done: None)
        output = tmp_path / "disk"
        assert (output.read_bytes(), is_moved(spool, output)) == (bytes(BLOCK) + b"x" * BLOCK * 300, False)


def test_stretches_that_are_copied_take_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    count = 1000
    with open_spool(tmp_path, spent=True) as spool:
        contents = [spool.keep(b"x") for _ in range(2 * count)][::2]
        moves = [Move(each.offset, 2 * BLOCK + each.offset // 2, BLOCK) for each in contents]
        spool.settle()
        tracemalloc.start()
        try:
            with begun(tmp_path / "disk", spool, contents, tmp_path) as disk:
                disk.fill(moves, (count + 2) * BLOCK, lambda _done: None)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert (tmp_path / "disk").read_bytes() == bytes(2 * BLOCK) + b"x".ljust(BLOCK, b"\0") * count
    assert peak < 64 * count


@pytest.mark.parametrize("size", [BLOCK, 1000 * BLOCK])
def test_what_is_copied_is_on_its_way_to_the_drive_meanwhile_and_not_stretch_by_stretch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(placing, "_WORTH", 1 << 30)
    monkeypatch.setattr(placing, "_STEP", 100 * BLOCK)
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(placing, "start_writing", lambda _fd, *where: asked.append(where))
    blocks = 1000
    with open_spool(tmp_path, spent=True) as spool:
        contents = [spool.keep(b"x" * size) for _ in range(2 * blocks * BLOCK // size)][::2]
        moves = [Move(each.offset, place * size, size) for place, each in enumerate(contents)]
        with begun(tmp_path / "disk", spool, contents, tmp_path) as disk:
            disk.fill(moves, blocks * BLOCK, lambda _done: None)
    assert (tmp_path / "disk").read_bytes() == b"x" * BLOCK * blocks
    assert asked == [(place * BLOCK, 100 * BLOCK) for place in range(0, blocks, 100)]
