"""Content gets to its places by being moved or copied, and the bytes of the disk do not tell which."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import tracemalloc
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import count, product
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from threading import Event

import pytest
from hypothesis import HealthCheck, given, settings
from support.hosts import host
from support.moves import BLOCK, Asked, Piece, asked, pieces

from builder import exact
from builder.disk import content as placing
from builder.disk.content import begun
from builder.disk.shift import Move, can_shift, shift
from builder.exact import write_at
from builder.files.descriptors import opened, path_of
from builder.tree.spool import Spool, open_spool


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have little content moved, too."""
    monkeypatch.setattr(placing, "_WORTH", 0)


def made(spool: Spool, place: Path, wanted: Asked) -> Path:
    """Make the disk, of which all but content is written beforehand."""
    output = place / "disk"
    with begun(output, spool, wanted.contents, place) as disk:
        ends = [0, *(move.target + move.length for move in wanted.moves)]
        begins = [*(move.target for move in wanted.moves), len(wanted.disk)]
        for end, begin in zip(ends, begins, strict=True):
            if any(wanted.disk[end:begin]):
                write_at(disk.fd, wanted.disk[end:begin].rstrip(b"\0"), end)
        disk.fill(wanted.moves, len(wanted.disk), lambda _done: None)
    return output


def is_moved(spool: Spool, output: Path) -> bool:
    """Tell whether the spool's file has become the disk."""
    return os.path.samestat(os.fstat(spool.fd), output.stat())


def shifts(place: Path) -> bool:
    """Tell whether a file there that has no name can have its parts moved and get one."""
    with open_spool(place) as spool:
        if not can_shift(spool.fd):
            return False
        with suppress(OSError), opened(place, os.O_PATH | os.O_DIRECTORY) as directory:
            os.link(path_of(spool.fd), "named", dst_dir_fd=directory, follow_symlinks=True)
            os.unlink(place / "named")
            return True
    return False


@pytest.mark.heavy
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=pieces)
def test_whatever_is_kept_lent_and_between_is_where_it_belongs(tmp_path: Path, chosen: list[Piece]) -> None:
    for tails, spent in product((0, 2000), (False, True)):
        with TemporaryDirectory(dir=tmp_path) as name, open_spool(Path(name), tails=tails, spent=spent) as spool:
            wanted = asked(spool, chosen, tails)
            assert made(spool, Path(name), wanted).read_bytes() == wanted.disk


@pytest.mark.parametrize("tails", [0, 2000])
def test_what_is_still_to_be_read_is_there_until_content_is_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tails: int
) -> None:
    punched = Event()
    monkeypatch.setattr(placing, "start_writing", lambda *_: punched.set())
    with open_spool(tmp_path, tails=tails, spent=True) as spool:
        wanted = asked(spool, MANY, tails)
        read = [spool.keep(b"%05d" % number * number) for number in range(1, 9000, 611)]
        gone = spool.keep(b"nobody's" * 5000)
        with begun(tmp_path / "disk", spool, [*wanted.contents, spool.keep(b"last" * 5000)], tmp_path, read):
            moved = shifts(tmp_path)
            if moved:
                assert punched.wait(600)
            assert [spool.read(each)[:5] for each in read] == [b"%05d" % number for number in range(1, 9000, 611)]
            # Never to be written to the drive.
            assert (spool.read(gone).strip(b"\0") == b"") == moved


def test_zeros_that_the_host_takes_for_data_do_not_get_to_where_content_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def all_of_it(fd: int, size: int, start: int) -> Iterator[tuple[int, int]]:
        end = min(size, os.fstat(fd).st_size)
        yield from [(start, end - start)] if start < end else []

    monkeypatch.setattr(placing, "written_pieces", all_of_it)
    with open_spool(tmp_path, spent=True) as spool:
        wanted = asked(spool, MANY)
        assert made(spool, tmp_path, wanted).read_bytes() == wanted.disk


def test_nothing_is_left_between_what_is_moved(tmp_path: Path) -> None:
    if not shifts(tmp_path):
        pytest.skip("the file system of temporary files moves nothing")
    with (tmp_path / "file").open("w+b", buffering=0) as file:
        write_at(file.fileno(), b"".join(b"%d" % number * BLOCK for number in range(9)), 0)
        shift(file.fileno(), [Move(BLOCK, 0, BLOCK), Move(4 * BLOCK, 2 * BLOCK, BLOCK)], 4 * BLOCK)
    assert (tmp_path / "file").read_bytes() == b"1" * BLOCK + bytes(BLOCK) + b"4" * BLOCK + bytes(BLOCK)


MANY = [Piece(9000, (0, 0), number % 3 != 1, False, number % 5) for number in range(60)]


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


def test_nothing_stays_open_for_a_thread_that_cannot_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not shifts(tmp_path):
        pytest.skip("the file system of temporary files moves nothing")

    def refuse(*words: object) -> int:
        del words  # what a thread alone may hold on to
        raise MemoryError("no room for a thread")

    monkeypatch.setattr("builder.threads.start_new_thread", refuse)
    before = len(os.listdir("/proc/self/fd"))
    with open_spool(tmp_path, spent=True) as spool:
        wanted = asked(spool, MANY)
        with pytest.raises(MemoryError, match="no room for a thread"):
            made(spool, tmp_path, wanted)
    assert len(os.listdir("/proc/self/fd")) == before


def test_content_that_two_files_have_is_there_twice(tmp_path: Path) -> None:
    with open_spool(tmp_path, spent=True) as spool:
        content = spool.keep(b"shared" * 1000)
        source = content.offset
        moves = [Move(source, BLOCK, 2 * BLOCK), Move(source, 5 * BLOCK, 2 * BLOCK)]
        with begun(tmp_path / "disk", spool, [content, content], tmp_path) as disk:
            disk.fill(moves, 8 * BLOCK, lambda _done: None)
        data = (tmp_path / "disk").read_bytes()
        assert [at for at in range(len(data)) if data.startswith(b"shared" * 1000, at)] == [BLOCK, 5 * BLOCK]


def test_what_has_the_name_of_the_disk_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(b"there")
    with open_spool(tmp_path, spent=True) as spool:
        wanted = asked(spool, MANY)
        with pytest.raises(FileExistsError):
            made(spool, tmp_path, wanted)
    assert (tmp_path / "disk").read_bytes() == b"there"


def test_a_host_that_fails_at_any_step_of_moving_is_never_overlooked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not shifts(tmp_path):
        pytest.skip("the file system of temporary files moves nothing")
    change, calls = exact._change_range, 0

    def failing(fd: int, mode: int, position: int, length: int) -> None:
        nonlocal calls
        calls += 1
        if calls == last:
            raise OSError(errno.ENOSPC, "No space left on device")
        change(fd, mode, position, length)

    monkeypatch.setattr(exact, "_change_range", failing)
    for last in count(1):
        calls = 0
        place = tmp_path / str(last)
        place.mkdir()
        with open_spool(place, spent=True) as spool:
            wanted = asked(spool, MANY[:12])
            try:
                output = made(spool, place, wanted)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
            else:
                assert (output.read_bytes(), is_moved(spool, output)) == (wanted.disk, True)
                break
    # Three to try whether it can be done, and more for each gap.
    assert last > 3 + 12


def test_nothing_is_moved_twice_after_a_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked_for: list[int] = []

    def interrupted(_fd: int, mode: int, _position: int, _length: int) -> int:
        asked_for.append(mode)
        ctypes.set_errno(errno.EINTR)
        return -1 if len(asked_for) < 3 else 0

    monkeypatch.setattr(exact, "_fallocate", interrupted)
    exact.punch(0, 0, BLOCK)
    assert len(asked_for) == 3
    asked_for.clear()
    for move in (exact.insert, exact.collapse):
        with pytest.raises(InterruptedError):
            move(0, 0, BLOCK)
    assert len(asked_for) == 2
