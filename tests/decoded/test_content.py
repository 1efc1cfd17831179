"""The content of a layer: summed up while it is written, and read again, whatever the file system says of its holes."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from google_crc32c import value as crc32c

from builder.decoded import content
from builder.decoded.content import Checksums, Content, Damaged, verify
from builder.tree.runs import Runs
from builder.tree.spool import Spool

BLOCK = 4096


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "f", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


def written(fd: int, *contents: bytes) -> Content:
    checksums = Checksums()
    spool = Spool(fd, checksums.take)
    for each in contents:
        spool.keep(each)
    return Content(spool.end, spool.runs, checksums.sums)


def test_each_piece_of_a_mebibyte_has_one_checksum_however_it_was_written(fd: int) -> None:
    noise = random.Random(3).randbytes(5 << 19)
    found = written(fd, b"before", noise[: 3 << 18], bytes(9 << 18), noise)
    file = os.pread(fd, found.size, 0)
    # Behind each other: a block, 3/4 MiB; then 9/4 MiB of zeros, and 5/2 MiB.
    hole, behind = (3 << 18) + BLOCK, 3 * (1 << 20) + BLOCK
    assert [(first * BLOCK, end * BLOCK) for first, end in found.runs] == [(0, hole), (behind, found.size)]
    cuts = [(0, hole), (behind, 4 << 20), (4 << 20, 5 << 20), (5 << 20, found.size)]
    assert found.checks.tolist() == [crc32c(file[start:end]) for start, end in cuts]
    verify(fd, found)


@pytest.mark.parametrize("runs", [[(0, 1 << 60)], [(1, 2), (0, 1)], [(3, 2)], [(2, 2)]], ids=str)
def test_content_that_is_not_within_its_file_is_damage(fd: int, runs: list[tuple[int, int]]) -> None:
    found = written(fd, b"a")
    with pytest.raises(Damaged, match=r"said to be in blocks .* of 1$"):
        verify(fd, Content(found.size, Runs(runs), found.checks))


def test_a_file_system_that_knows_no_holes_or_small_ones_changes_nothing(
    fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = [each.ljust(BLOCK, b"\0") for each in (b"a" * 1024, b"b", b"", b"c" * BLOCK, b"d")]
    found = written(fd, b"".join(whole))
    assert list(found.runs) == [(0, 2), (3, 5)]
    small = 1024
    filled = [any(b"".join(whole)[start : start + small]) for start in range(0, found.size, small)]

    def seek(_fd: int, position: int, whence: int) -> int:
        wanted = whence == os.SEEK_DATA
        for place in range(position // small, len(filled)):
            if filled[place] == wanted:
                return max(position, place * small)
        if wanted:
            raise OSError(errno.ENXIO, "No such device or address")
        return found.size

    monkeypatch.setattr(os, "lseek", seek)
    verify(fd, found)
    filled = [True] * len(filled)
    verify(fd, found)
    os.pwrite(fd, b"x", 2 * BLOCK + 7)
    with pytest.raises(Damaged, match="content at byte 8192 that it had not"):
        verify(fd, found)


def test_content_of_too_many_runs_is_not_kept(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "_MAX_RUNS", 200)
    few, many = ((b"x".ljust(BLOCK, b"\0") + bytes(BLOCK)) * count for count in (200, 1))
    assert written(fd, few).is_for_keeping()
    assert not written(fd, few, many).is_for_keeping()
