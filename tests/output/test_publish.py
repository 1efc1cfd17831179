"""Outputs: refused early, written whole."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.errors import OutputDenied, OutputError, UsageError
from builder.output.checks import check_directory, check_distinct, check_output, check_side_output
from builder.output.publish import Content, publish, staged, write_atomically


def ext4(path: Path) -> Path:
    path.write_bytes(bytes(1024 + 56) + b"\x53\xef" + bytes(4096))
    return path


def erofs(path: Path) -> Path:
    path.write_bytes(bytes(1024) + b"\xe2\xe1\xf5\xe0" + bytes(4096))
    return path


def test_a_new_name_an_older_disk_and_an_empty_file_may_be_written(tmp_path: Path) -> None:
    check_output(tmp_path / "new.ext4", force=False)
    check_output(ext4(tmp_path / "old.ext4"), force=False)
    check_output(erofs(tmp_path / "old.erofs"), force=False)
    (tmp_path / "empty").touch()
    check_output(tmp_path / "empty", force=False)


def test_any_other_file_is_replaced_only_by_force(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("precious")
    with pytest.raises(OutputError, match="--force"):
        check_output(notes, force=False)
    check_output(notes, force=True)
    assert notes.read_text() == "precious"


def test_what_is_no_regular_file_is_never_written_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", Path("/dev/null")):
        with pytest.raises(OutputError, match="not a regular file"):
            check_output(path, force=True)
        with pytest.raises(OutputError, match="not a regular file"):
            check_side_output(path)


@pytest.mark.parametrize("fd", [0, 1, 2])
def test_the_file_of_a_standard_stream_is_never_written_over(tmp_path: Path, fd: int) -> None:
    log = tmp_path / "log"
    kept = os.dup(fd)
    try:
        with log.open("a+b") as file:
            os.dup2(file.fileno(), fd)
        for path in (log, Path(f"/dev/fd/{fd}")):
            with pytest.raises(OutputError, match="is the file of standard"):
                check_output(path, force=True)
            with pytest.raises(OutputError, match="is the file of standard"):
                check_side_output(path)
    finally:
        os.dup2(kept, fd)
        os.close(kept)
    check_output(log, force=True)


def test_outputs_are_one_file_each(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("disk")
    check_distinct([tmp_path / "disk", tmp_path / "metadata"])
    with pytest.raises(UsageError, match="two outputs"):
        check_distinct([tmp_path / "disk", tmp_path / "link"])


def test_a_file_is_no_directory_to_write_in(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file is not a directory; choose another place"):
        check_side_output(tmp_path / "file" / "x")


@pytest.fixture
def foreign() -> Iterator[Path]:
    """A directory of root's, while this process is an ordinary user who may look but not write there."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        os.setresuid(65534, 65534, 0)
        try:
            yield Path(name)
        finally:
            os.setresuid(0, 0, 0)


@pytest.mark.root
def test_a_directory_that_this_user_may_not_write_in_is_told_before_any_work(foreign: Path) -> None:
    for check in (lambda path: check_output(path, force=True), check_side_output, check_directory):
        with pytest.raises(OutputDenied, match="may not write in"):
            check(foreign / "x")


def test_a_directory_that_does_not_exist_is_named(tmp_path: Path) -> None:
    for check in (lambda path: check_output(path, force=True), check_side_output, check_directory):
        with pytest.raises(OutputError, match="missing does not exist"):
            check(tmp_path / "missing" / "x")


def test_a_directory_to_unpack_into_is_new_or_empty(tmp_path: Path) -> None:
    check_directory(tmp_path / "new")
    (tmp_path / "empty").mkdir()
    check_directory(tmp_path / "empty")
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nothing")
    for path in (tmp_path, tmp_path / "file", tmp_path / "dangling"):
        with pytest.raises(OutputError, match="not an empty directory"):
            check_directory(path)


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_published_files_have_the_mode_that_the_umask_gives(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        with staged([Content(tmp_path / "out", b"disk")]) as [draft]:
            draft.path.chmod(0o600)
            publish(draft)
    finally:
        os.umask(before)
    assert (tmp_path / "out").stat().st_mode & 0o777 == mode
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_small_files_are_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "metadata.json"
    path.write_bytes(b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    path = path.rename(tmp_path / ("ü" * 125))
    write_atomically(path, b"newer")
    assert path.read_bytes() == b"newer"
    assert list(tmp_path.iterdir()) == [path]


def test_a_small_file_that_cannot_be_replaced_leaves_no_draft(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_atomically(tmp_path / "taken", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
