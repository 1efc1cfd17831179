"""What is read of this machine: nothing that no disk takes, nothing that changes meanwhile."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from support.adding import add, refused

from builder import AddedTar, Addition, exact
from builder.additions import host
from builder.additions.addition import Change
from builder.additions.host import Found, find
from builder.additions.survey import survey
from builder.archive.entry import Kind
from builder.errors import LimitExceeded
from builder.files.removal import remove_tree
from builder.limits import Limits


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def found(source: str) -> list[tuple[str, Kind]]:
    return [(os.fsdecode(each.path), each.kind) for each in find(source, "it")]


def test_a_tree_is_walked_parents_first_in_byte_order() -> None:
    for name in ("d/b", "d/a/c", "d/a-b"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    Path("d/a/s").symlink_to("/")
    files = [("a", Kind.DIRECTORY), ("a/c", Kind.FILE), ("a/s", Kind.SYMLINK), ("a-b", Kind.FILE), ("b", Kind.FILE)]
    for source in ("d", "d/", "./d", "d/.", "d/a/..", str(Path("d").absolute())):
        assert found(source) == [("", Kind.DIRECTORY), *files]


def test_a_tree_deeper_than_a_path_is_walked_with_few_descriptors() -> None:
    fd = os.open(".", os.O_RDONLY)
    for _ in range(1100):
        os.mkdir("ddd", dir_fd=fd)
        below = os.open("ddd", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    try:
        assert len(found("ddd")) == 1100
    finally:
        # Python's own way, which pytest takes, calls itself once a level.
        remove_tree(Path("ddd"))


@pytest.mark.parametrize("source", ["nope", "nope/x", "nope/", "file/x", "file/", "dangling/"])
def test_what_is_not_there_is_named(source: str) -> None:
    Path("file").touch()
    Path("dangling").symlink_to("nope")
    expected = f"--add {source}:/x: there is no '{source}' on this machine; check the path"
    assert refused(Addition(source, "/x")) == expected


def test_a_tar_that_is_not_there_is_named() -> None:
    assert refused(AddedTar("nope")) == "--add-tar nope: there is no 'nope' on this machine; check the path"
    assert "(a TARGET begins with /)" in refused(AddedTar("a.tar:srv"))


ODD: dict[str, tuple[str, Callable[[str], object]]] = {
    "fifo": ("a fifo", os.mkfifo),
    "socket": ("a socket", lambda path: bind(path)),
}


def bind(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path)


@pytest.mark.parametrize("kind", ODD)
def test_what_no_disk_takes_is_refused_by_name(kind: str) -> None:
    what, make = ODD[kind]
    os.makedirs("d/sub")
    make("d/sub/odd")
    assert f"'sub/odd' in it is {what}" in refused(Addition("d", "/d"))
    assert f"'d/sub/odd' is {what}" in refused(Addition("d/sub/odd", "/d"))
    assert f"'d/sub/odd' is {what}" in refused(AddedTar("d/sub/odd"))


def test_what_a_shell_hands_over_as_a_pipe_is_no_symlink_and_refused() -> None:
    reading, writing = os.pipe()
    try:
        text = refused(Addition(f"/dev/fd/{reading}", "/x"))
        assert f"'/dev/fd/{reading}' is an open file or pipe, as <(...) of a shell; write its content to a file" in text
        assert f"'/dev/fd/{reading}' is a fifo" in refused(AddedTar(f"/dev/fd/{reading}"))
    finally:
        os.close(reading)
        os.close(writing)


def test_devices_are_refused_by_name() -> None:
    assert "'/dev/null' is a character device" in refused(Addition("/dev/null", "/d"))
    assert "'/dev/null' is a character device" in refused(AddedTar("/dev/null"))
    assert "'.' is a directory" in refused(AddedTar("."))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("name", ["d", "d/sub", "d/sub/f"])
def test_what_may_not_be_read_is_named_with_its_own_status(name: str) -> None:
    os.makedirs("d/sub")
    Path("d/sub/f").touch()
    mode = stat.S_IMODE(os.stat(name).st_mode)
    os.chmod(name, 0)
    try:
        text = refused(Addition("d", "/d"), status=4)
    finally:
        os.chmod(name, mode)
    assert "Permission denied; make it readable for this user" in text
    assert name == "d" or f"'{name.removeprefix('d/')}' in it" in text


def test_a_file_that_is_written_to_while_it_is_read_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "CHUNK", 1000)
    read = exact.read_up_to
    for change in (lambda: grow("f"), lambda: os.truncate("f", 1500), lambda: overwrite("f")):
        Path("f").write_bytes(b"x" * 3000)
        os.utime("f", (0, 0))

        def reading(fd: int, size: int, position: int, change: Callable[[], None] = change) -> bytes:
            if position == 1000:
                change()
            return read(fd, size, position)

        monkeypatch.setattr(host, "read_up_to", reading)
        with pytest.raises(host.AdditionFailed, match=r"^--add f:/f: it changed while it was read; build again when"):
            survey((Addition("f", "/f"),), Limits())


def grow(path: str) -> None:
    with open(path, "ab") as file:
        file.write(b"y")


def overwrite(path: str) -> None:
    with open(path, "r+b") as file:
        file.write(b"y")


def replaced(path: str) -> Path:
    Path(path).unlink()
    return Path(path)


CHANGES: dict[str, Callable[[], object]] = {
    "content": lambda: Path("d/f").write_text("y"),
    "the right to execute": lambda: Path("d/f").chmod(0o755),
    "another file": lambda: Path("d/g").touch(),
    "a file less": lambda: Path("d/f").unlink(),
    "a symlink in its place": lambda: replaced("d/f").symlink_to("x"),
    "a hardlink undone": lambda: replaced("d/h").write_text("x"),
    "a directory in its place": lambda: replaced("d/f").mkdir(),
}


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("source", ["d", "d/f"])
def test_what_changes_between_survey_and_build_is_noticed(
    monkeypatch: pytest.MonkeyPatch, what: str, source: str
) -> None:
    Path("d").mkdir()
    Path("d/f").write_text("x")
    os.link("d/f", "d/h")

    def surveyed(changes: Sequence[Change], limits: Limits) -> object:
        done = survey(changes, limits)
        CHANGES[what]()
        return done

    monkeypatch.setitem(add.__globals__, "survey", surveyed)
    if source == "d/f" and what in ("another file", "a hardlink undone"):
        add(Addition(source, "/x"))
    elif source == "d/f" and what == "a file less":
        assert "there is no 'd/f'" in refused(Addition(source, "/x"))
    else:
        assert "changed while it was read" in refused(Addition(source, "/x"))


def test_a_directory_that_becomes_a_symlink_meanwhile_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    os.makedirs("d/sub")
    Path("d/a").touch()
    Path("secret").mkdir()
    Path("secret/f").touch()
    walk = find("d", "it")
    assert [next(walk).path, next(walk).path] == [b"", b"a"]
    os.rmdir("d/sub")
    os.symlink("../secret", "d/sub")
    # Looked at before it was exchanged, as a race would have it.
    monkeypatch.setattr(os, "stat", lambda *_, **__: os.lstat("secret"))
    with pytest.raises(host.AdditionFailed, match="'sub' in it changed while it was read"):
        next(walk)


def test_a_descriptor_is_open_only_while_its_file_is_looked_at() -> None:
    Path("f").write_text("x")
    files: list[Found] = []
    for each in find("f", "it"):
        files.append(each)
        os.fstat(each.fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(files[0].fd)


def test_what_is_over_a_limit_is_not_read_first(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("sparse", "wb") as file:
        file.truncate(1 << 40)
    Path("d").mkdir()
    for name in "abc":
        Path("d", name).touch()
    monkeypatch.setattr(host, "read_up_to", lambda *_: pytest.fail("was read"))
    for change in (Addition("sparse", "/x"), AddedTar("sparse")):
        with pytest.raises(LimitExceeded, match="raise --max-size"):
            survey((change,), Limits())
    monkeypatch.setattr(host, "read_up_to", lambda *_: b"")
    with pytest.raises(LimitExceeded, match="raise --max-entries"):
        survey((Addition("d", "/d"),), Limits(max_entries=3))
