"""Files of real directories: nothing outside is ever opened, and nothing that is no file."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.users import open_to_users, run_as_user

from builder.errors import ImageNotFound, SourceUnreadable, UnsafeFile
from builder.files.directory import DirectoryFiles


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_bytes(b"secret")
    root = tmp_path / "root"
    (root / "blobs" / "sha256").mkdir(parents=True)
    (root / "blobs" / "sha256" / "real").write_bytes(b"content")
    return root


@pytest.fixture
def files(root: Path) -> Iterator[DirectoryFiles]:
    with closing(DirectoryFiles(str(root))) as files:
        yield files


def content(files: DirectoryFiles, path: str) -> bytes | None:
    file = files.open(path)
    if file is None:
        assert files.size(path) is None
        return None
    with file:
        data = file.read()
    assert files.size(path) == len(data)
    return data


@pytest.mark.parametrize(
    "target",
    ["blobs/sha256/real", "./blobs//sha256/./real", "blobs/../blobs/sha256/real", "blobs/sha256/../../other"],
)
def test_symlinks_inside_are_followed(root: Path, files: DirectoryFiles, target: str) -> None:
    (root / "other").symlink_to("blobs/sha256/real")
    (root / "link").symlink_to(target)
    assert content(files, "link") == b"content"


def test_symlinks_to_directories_inside_are_followed(root: Path, files: DirectoryFiles) -> None:
    (root / "blobs" / "sha512").symlink_to("../blobs/sha256")
    assert content(files, "blobs/sha512/real") == b"content"


def test_an_absolute_symlink_to_the_inside_is_followed(root: Path, files: DirectoryFiles) -> None:
    (root / "blobs" / "link").symlink_to(root / "blobs" / "sha256" / "real")
    assert content(files, "blobs/link") == b"content"


def test_the_directory_itself_may_be_a_symlink(root: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(root)
    (root / "absolute").symlink_to(root / "blobs" / "sha256" / "real")
    with closing(DirectoryFiles(str(tmp_path / "alias"))) as files:
        assert content(files, "blobs/sha256/real") == b"content"
        assert content(files, "absolute") == b"content"


@pytest.mark.parametrize(
    "target",
    [
        "../secret",
        "blobs/../../secret",
        "../root/blobs/sha256/real",
        "{outside}/secret",
        "{outside}/root/../secret",
        "{outside}/rootkit",
        "/proc/self/root{outside}/secret",
    ],
)
def test_symlinks_that_leave_are_refused(root: Path, files: DirectoryFiles, tmp_path: Path, target: str) -> None:
    (tmp_path / "rootkit").write_bytes(b"secret")
    (root / "link").symlink_to(target.format(outside=tmp_path))
    for act in (files.open, files.size):
        with pytest.raises(UnsafeFile) as caught:
            act("link")
        assert caught.value.where == f"{root}/link"
        assert "leads out" in caught.value.reason
    assert files.inputs() == []


def test_a_symlinked_directory_that_leaves_is_refused(root: Path, files: DirectoryFiles) -> None:
    (root / "blobs" / "sha512").symlink_to("../..")
    with pytest.raises(UnsafeFile):
        files.open("blobs/sha512/secret")


@pytest.mark.parametrize("path", ["../secret", "blobs/../../secret"])
def test_names_that_leave_are_refused(files: DirectoryFiles, path: str) -> None:
    with pytest.raises(UnsafeFile):
        files.open(path)


def test_a_symlink_loop_is_refused(root: Path, files: DirectoryFiles) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    with pytest.raises(UnsafeFile) as caught:
        files.open("a")
    assert "more than 40 links" in caught.value.reason


def test_a_fifo_is_refused_without_waiting_for_a_writer(root: Path, files: DirectoryFiles) -> None:
    os.mkfifo(root / "fifo")
    with pytest.raises(UnsafeFile) as caught:
        files.open("fifo")
    assert caught.value.reason == "is a fifo, where a regular file should be"


def test_a_socket_and_a_directory_are_refused(
    root: Path, files: DirectoryFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
    for name, kind in (("socket", "a socket"), ("blobs", "a directory"), ("blobs/sha256/..", "a directory")):
        with pytest.raises(UnsafeFile) as caught:
            files.open(name)
        assert caught.value.reason == f"is {kind}, where a regular file should be"


@pytest.mark.root
def test_a_device_is_refused(root: Path, files: DirectoryFiles) -> None:
    os.mknod(root / "device", 0o020644, os.makedev(1, 5))
    with pytest.raises(UnsafeFile) as caught:
        files.open("device")
    assert caught.value.reason == "is a character device, where a regular file should be"


@pytest.mark.parametrize("path", ["absent", "absent/below", "blobs/sha256/real/below", "dangling"])
def test_what_is_not_there_is_none(root: Path, files: DirectoryFiles, path: str) -> None:
    (root / "dangling").symlink_to("blobs/absent")
    assert content(files, path) is None
    assert files.inputs() == []


def test_an_unreadable_file_is_a_missing_permission(root: Path) -> None:
    (root / "secret").write_bytes(b"secret")
    (root / "secret").chmod(0)
    open_to_users(root)
    printed = run_as_user(
        "from builder.errors import MissingRequirement\nfrom builder.files.directory import DirectoryFiles",
        "try: DirectoryFiles(sys.argv[1]).open('secret')\nexcept MissingRequirement as error: print(error)",
        root,
    )
    assert printed == f"{root}/secret: Permission denied; make it readable for this user\n"


def test_a_component_that_is_too_long_is_unreadable(files: DirectoryFiles) -> None:
    with pytest.raises(SourceUnreadable):
        files.open("a" * 300)


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ImageNotFound) as caught:
        DirectoryFiles(str(tmp_path / "absent"))
    assert str(caught.value) == f"{tmp_path}/absent: there is no such directory; check the path"


def test_inputs_are_what_was_opened_once_each_as_it_was_named(root: Path, files: DirectoryFiles) -> None:
    (root / "link").symlink_to("blobs/sha256/real")
    for path in ("link", "blobs/sha256/real", "link"):
        content(files, path)
    assert files.inputs() == [f"{root}/link", f"{root}/blobs/sha256/real"]


def test_a_directory_that_is_moved_away_stays_open(root: Path, files: DirectoryFiles, tmp_path: Path) -> None:
    root.rename(tmp_path / "moved")
    assert content(files, "blobs/sha256/real") == b"content"
