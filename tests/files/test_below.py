"""What is opened below a directory's descriptor, and what is not."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from builder.files.below import LISTED, PLACE, NotRegular, open_directory, open_regular, read_link


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "directory-link").symlink_to("directory")
    os.mkfifo(tmp_path / "fifo")
    fd = os.open(tmp_path, PLACE)
    yield fd
    os.close(fd)


def test_a_regular_file_is_opened_for_reading(parent: int) -> None:
    with open(open_regular("file", parent), "rb") as file:
        assert file.read() == b"content"
        assert not os.get_inheritable(file.fileno())


@pytest.mark.parametrize(
    ("name", "kind"), [("link", stat.S_IFLNK), ("fifo", stat.S_IFIFO), ("directory", stat.S_IFDIR)]
)
def test_what_is_no_regular_file_is_not_opened(parent: int, name: str, kind: int) -> None:
    with pytest.raises(NotRegular) as caught:
        open_regular(name, parent)
    assert stat.S_IFMT(caught.value.mode) == kind


def test_a_directory_is_opened_and_nothing_that_leads_to_one(parent: int) -> None:
    for flags in (PLACE, LISTED):
        os.close(open_directory("directory", parent, flags))
        for name in ("directory-link", "file", "fifo"):
            with pytest.raises(NotADirectoryError):
                open_directory(name, parent, flags)


def test_what_is_not_there_is_not_found(parent: int) -> None:
    for open_it in (open_regular, open_directory, read_link):
        with pytest.raises(FileNotFoundError):
            open_it("absent", parent)


def test_only_a_symlink_has_a_target(parent: int) -> None:
    assert read_link(b"link", parent) == b"file"
    assert [read_link(name, parent) for name in ("file", "directory", "fifo")] == [None, None, None]


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("elsewhere"), os.mkfifo], ids=["symlink", "fifo"])
def test_a_file_that_is_exchanged_after_it_was_looked_at_is_not_opened(
    parent: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    (tmp_path / "elsewhere").write_bytes(b"secret")
    look = os.stat

    def look_and_exchange(name: str, **words: Any) -> os.stat_result:
        seen = look(name, **words)
        (tmp_path / "file").unlink()
        make(tmp_path / "file")
        return seen

    monkeypatch.setattr("builder.files.below.os.stat", look_and_exchange)
    with pytest.raises((OSError, NotRegular)):
        open_regular("file", parent)
