"""A descent knows where it came from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder.files.below import LISTED
from builder.files.descent import Descent


def test_up_is_where_down_came_from(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    with Descent(os.open(tmp_path, LISTED)) as place:
        place.enter(b"a")
        place.enter(b"b")
        left = place.leave()
        assert os.path.samestat(os.fstat(place.fd), os.stat(tmp_path / "a"))
        assert os.listdir(place.fd) == ["b"]
        assert os.listdir(left) == []
        os.close(left)


def test_a_directory_that_was_moved_away_leads_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "tree/a").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    with Descent(os.open(tmp_path / "tree", LISTED)) as place:
        place.enter(b"a")
        os.rename(tmp_path / "tree/a", tmp_path / "elsewhere/a")
        with pytest.raises(OSError, match="moved away"):
            place.leave()


def test_a_symlink_is_not_entered(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/")
    with Descent(os.open(tmp_path, LISTED)) as place:
        with pytest.raises(NotADirectoryError):
            place.enter(b"link")
        assert os.listdir(place.fd) == ["link"]
