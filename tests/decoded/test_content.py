"""How the content of a layer is looked through, whatever the file system says of its holes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder.decoded import content
from builder.decoded.content import Unkept, survey, verify

BLOCK = 4096


def test_holes_that_begin_amid_our_blocks_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file system's blocks are smaller, there is one behind each small file."""
    whole = b"".join(each.ljust(BLOCK, b"\0") for each in (b"a" * 1024, b"b", b"", b"c" * BLOCK, b"d"))
    small = 1024
    filled = [any(whole[start : start + small]) for start in range(0, len(whole), small)]

    def seek(_fd: int, position: int, whence: int) -> int:
        wanted = whence == os.SEEK_DATA
        for place in range(position // small, len(filled)):
            if filled[place] == wanted:
                return max(position, place * small)
        if wanted:
            raise OSError(6, "No such device or address")
        return len(whole)

    (tmp_path / "f").write_bytes(whole)
    fd = os.open(tmp_path / "f", os.O_RDONLY)
    everywhere = survey(fd, len(whole))
    monkeypatch.setattr(os, "lseek", seek)
    assert survey(fd, len(whole)) == everywhere
    assert everywhere.runs == ((0, 2), (3, 5))
    verify(fd, everywhere)
    os.close(fd)


def test_content_of_too_many_runs_is_given_up_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are in memory, and one stretch without holes may have any number of them."""
    monkeypatch.setattr(content, "_MAX_RUNS", 200)
    read: list[int] = []
    real = os.pread

    def noted(fd: int, size: int, position: int) -> bytes:
        read.append(position)
        return real(fd, size, position)

    monkeypatch.setattr(os, "pread", noted)
    whole = (b"x".ljust(BLOCK, b"\0") + bytes(BLOCK)) * 1024
    (tmp_path / "f").write_bytes(whole)
    fd = os.open(tmp_path / "f", os.O_RDONLY)
    with pytest.raises(Unkept):
        survey(fd, len(whole))
    assert len(read) < len(whole) // (1 << 20)
    os.close(fd)
