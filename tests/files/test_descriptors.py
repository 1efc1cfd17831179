"""Paths through descriptors lead to what was opened; and who may exchange what other paths lead to."""

from __future__ import annotations

import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.users import ORDINARY

from builder.errors import MissingRequirement
from builder.files import descriptors
from builder.files.descriptors import check_descriptors, is_exchangeable, nameless, opened, path_of, shown
from builder.sandbox import seccomp


def test_a_path_through_a_descriptor_leads_to_what_was_opened_whatever_has_its_name(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    with opened(tmp_path / "place", os.O_PATH | os.O_DIRECTORY) as fd:
        (tmp_path / "place").rename(tmp_path / "moved")
        (tmp_path / "place").mkdir()
        (path_of(fd) / "file").write_text("x")
        assert shown(path_of(fd) / "file") == f"{tmp_path}/moved/file"
    assert os.listdir(tmp_path / "place") == []
    assert os.listdir(tmp_path / "moved") == ["file"]


@pytest.mark.parametrize(
    "path", ["/proc/self/fd", "/proc/self/fd/x", "/proc/self/fd/1x", "relative", "/proc/self/fd/999999"]
)
def test_any_other_path_is_shown_as_it_is(path: str) -> None:
    assert shown(path) == path


def test_without_proc_the_user_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptors, "_DESCRIPTORS", str(tmp_path / "none"))
    with pytest.raises(MissingRequirement, match="/proc is not mounted"):
        check_descriptors()


@pytest.mark.root
@pytest.mark.parametrize(
    ("mode", "owner", "exchangeable"),
    [(0o755, 0, False), (0o1777, 0, False), (0o777, 0, True), (0o775, 0, True), (0o755, ORDINARY, True)],
)
@pytest.mark.parametrize("below", ["", "inside", "inside/deeper"])
def test_a_directory_is_exchangeable_if_others_may_change_it_or_one_above_it(
    tmp_path: Path, mode: int, owner: int, exchangeable: bool, below: str
) -> None:
    place = tmp_path / "place"
    (place / below).mkdir(parents=True)
    place.chmod(mode)
    os.chown(place, owner, 0)
    (tmp_path / "link").symlink_to(place)
    assert is_exchangeable(place / below) == exchangeable
    assert is_exchangeable(tmp_path / "link" / below) == exchangeable


@pytest.mark.skipif(not seccomp.is_there(), reason="NOT RUN: needs a kernel with seccomp")
def test_a_file_without_a_name_is_to_be_had_also_where_memory_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a container's filter does not know memfd_create."""
    monkeypatch.setattr(tempfile, "tempdir", os.fspath(tmp_path))
    with ThreadPoolExecutor(1) as thread:
        # What a thread is refused ends with it.
        thread.submit(seccomp.refuse, {"memfd_create": (319, 279)}).result()
        fd = thread.submit(nameless, "test").result()
    with open(fd, "w+b") as file:
        file.write(b"kept")
        file.seek(0)
        assert file.read() == b"kept"
        assert not os.get_inheritable(fd)
        assert os.listdir(tmp_path) == []
