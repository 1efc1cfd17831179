"""Content gets to its places by being moved or copied, and the bytes of the disk do not tell which."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from itertools import count, product
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

import pytest
from hypothesis import HealthCheck, given, settings
from support.leaks import no_descriptor_left
from support.moves import BLOCK, MANY, Piece, asked, is_moved, made, pieces, shifts

from builder import exact
from builder.disk import content as placing
from builder.disk import early
from builder.disk.content import begun
from builder.disk.shift import Move, shift
from builder.exact import write_at
from builder.tree.spool import open_spool


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have little content moved, too."""
    monkeypatch.setattr(placing, "_WORTH", 0)


@pytest.mark.heavy
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[*settings().suppress_health_check, HealthCheck.function_scoped_fixture],
)
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
    monkeypatch.setattr(early, "start_writing", lambda *_: punched.set())
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


def test_nothing_stays_open_for_a_thread_that_cannot_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not shifts(tmp_path):
        pytest.skip("the file system of temporary files moves nothing")

    def refuse(*words: object) -> int:
        del words  # what a thread alone may hold on to
        raise MemoryError("no room for a thread")

    monkeypatch.setattr("builder.threads.start_new_thread", refuse)
    with no_descriptor_left(), open_spool(tmp_path, spent=True) as spool:
        wanted = asked(spool, MANY)
        with pytest.raises(MemoryError, match="no room for a thread"):
            made(spool, tmp_path, wanted)


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
