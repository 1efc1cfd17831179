"""Files of a room whose names others have by now."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from builder.store.rooms.directory import LocalRoom
from builder.store.store import Store


def test_a_room_knows_a_replaced_file_from_the_one_before(tmp_path: Path) -> None:
    room = LocalRoom(str(tmp_path))
    (tmp_path / "a").write_text("one")
    before = room.stamp("a")
    (tmp_path / "b").write_text("two")
    room.rename("b", "a")
    assert before is not None
    assert room.stamp("a") != before
    assert Store(room).room.stamp("b") is None


def test_a_file_whose_name_another_has_by_the_time_it_is_locked_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = LocalRoom(str(tmp_path))
    lock = fcntl.flock
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)

    def exchange(fd: int, how: int) -> None:
        os.replace(tmp_path / "b", tmp_path / "a")
        lock(fd, how)

    monkeypatch.setattr("builder.store.rooms.directory.fcntl.flock", exchange)
    assert room.take_over("a") is None
