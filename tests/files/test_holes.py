"""Files with holes: what is read is what is there, and zeros take no room."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from builder.exact import CHUNK
from builder.files.descriptors import opened
from builder.files.holes import content, write_sparse, written_pieces


@pytest.fixture
def data() -> bytes:
    """Stretches of zeros and of others, of all lengths and at all places of a block."""
    draw = random.Random(11)
    parts = []
    for _ in range(60):
        length = draw.choice((1, 100, 4095, 4096, 4097, 70_000))
        parts.append(bytes(length) if draw.random() < 0.5 else draw.randbytes(length))
    return b"".join(parts)


@pytest.mark.parametrize("step", [1000, 4096, 65_537, 10_000_000])
def test_what_is_written_without_zeros_reads_the_same(tmp_path: Path, data: bytes, step: int) -> None:
    path = tmp_path / "file"
    with opened(path, os.O_CREAT | os.O_RDWR) as fd:
        for place in range(0, len(data), step):
            write_sparse(fd, data[place : place + step], place)
        os.ftruncate(fd, len(data))
        assert path.read_bytes() == data
        for start in (0, 1, 5000, len(data) - 1, len(data)):
            assert b"".join(content(fd, len(data), start)) == data[start:]


def test_zeros_take_no_room_and_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with opened(path, os.O_CREAT | os.O_RDWR) as fd:
        write_sparse(fd, bytes(8 * CHUNK) + b"x" + bytes(8 * CHUNK), 0)
        os.ftruncate(fd, 16 * CHUNK + 1)
        assert path.stat().st_blocks * 512 < CHUNK
        assert sum(length for _, length in written_pieces(fd, 16 * CHUNK + 1)) < CHUNK
        assert sum(map(len, content(fd, 16 * CHUNK + 1))) == 16 * CHUNK + 1


def test_where_nobody_says_what_is_a_hole_all_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on block devices."""

    def seek(_fd: int, _position: int, _how: int) -> int:
        raise OSError(22, "Invalid argument")

    path = tmp_path / "file"
    path.write_bytes(b"a" * 10_000)
    monkeypatch.setattr(os, "lseek", seek)
    with opened(path, os.O_RDONLY) as fd:
        assert b"".join(content(fd, 10_000)) == b"a" * 10_000


def test_what_is_behind_the_end_is_a_hole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a" * 10)
    with opened(path, os.O_RDONLY) as fd:
        assert b"".join(content(fd, 20)) == b"a" * 10 + bytes(10)
