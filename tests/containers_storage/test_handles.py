"""Directories by handle: nothing outside of them is ever opened."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.containers_storage.handles import Handle
from builder.errors import MissingRequirement, SourceUnreadable, UnsafeFile, UnsupportedImage


@pytest.fixture
def handle(tmp_path: Path) -> Iterator[Handle]:
    opened = Handle.open(str(tmp_path))
    assert opened is not None
    yield opened
    opened.close()


def test_files_and_directories_are_opened_by_name(handle: Handle, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below/file").write_bytes(b"content")
    below = handle.directory("below")
    assert below is not None
    assert below.where == f"{tmp_path}/below"
    assert below.read("file", 7) == b"content"
    assert below.names() == [b"file"]
    below.close()


def test_what_is_not_there_is_none(handle: Handle, tmp_path: Path) -> None:
    assert handle.directory("absent") is None
    assert handle.file("absent") is None
    assert handle.read("absent", 1) is None
    assert handle.status("absent") is None
    assert Handle.open(f"{tmp_path}/absent") is None


def test_a_handle_stays_with_its_directory(handle: Handle, tmp_path: Path) -> None:
    """Who renames the directory and puts another in its place gains nothing."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a/file").write_bytes(b"first")
    opened = handle.directory("a")
    assert opened is not None
    (tmp_path / "a").rename(tmp_path / "b")
    (tmp_path / "a").mkdir()
    (tmp_path / "a/file").write_bytes(b"second")
    assert opened.read("file", 9) == b"first"
    opened.close()


@pytest.mark.parametrize("kind", ["symlink", "fifo", "directory", "dangling"])
def test_what_is_no_regular_file_is_refused(handle: Handle, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("/etc/passwd" if kind == "symlink" else "absent")
    with pytest.raises(UnsafeFile) as caught:
        handle.file("x")
    assert caught.value.where == str(path)


@pytest.mark.parametrize("target", ["/etc", "below", "file"])
def test_a_directory_is_not_reached_through_a_symlink(handle: Handle, tmp_path: Path, target: str) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "x").symlink_to(target)
    with pytest.raises(UnsafeFile):
        handle.directory("x")
    with pytest.raises(UnsafeFile):
        handle.directory("file")


def test_a_document_has_a_limit_whatever_its_file_takes(handle: Handle, tmp_path: Path) -> None:
    (tmp_path / "hole").touch()
    os.truncate(tmp_path / "hole", 1 << 40)
    with pytest.raises(UnsupportedImage, match="longer than 4096 bytes"):
        handle.read("hole", 4096)


def test_errors_name_what_was_read(handle: Handle) -> None:
    with pytest.raises(SourceUnreadable, match="nnn: cannot be read: File name too long"):
        handle.file("n" * 300)


def test_a_name_of_the_image_is_printable(handle: Handle) -> None:
    assert handle.path(b"a\n\xff").endswith("/a\\n\\xff")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_asks_for_podman_unshare(handle: Handle, tmp_path: Path) -> None:
    (tmp_path / "secret").touch(mode=0)
    with pytest.raises(MissingRequirement, match=r"Permission denied; .* podman unshare rootfs-builder"):
        handle.file("secret")
