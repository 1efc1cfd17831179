"""Whatever one system call leaves undone is done by the next, or the whole fails."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from support.partial import cut_short

from builder import exact

DATA = bytes(range(256)) * 512


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


@pytest.fixture(params=["same file system", "another file system"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    # A memory file is on a file system of its own, where the kernel does not copy between the two.
    same = request.param == "same file system"
    fd = os.open(tmp_path / "source", os.O_RDWR | os.O_CREAT) if same else os.memfd_create("source")
    with open(fd, "wb", closefd=False) as file:
        file.write(bytes(10) + DATA)
    yield fd
    os.close(fd)


@pytest.fixture(params=[1, 2, 3])
def short(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    cut_short(monkeypatch, request.param)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_write_is_whole(file: int, tmp_path: Path, kind: type[bytes]) -> None:
    exact.write_at(file, kind(DATA), 5)
    os.lseek(file, 0, os.SEEK_END)
    exact.write_next(file, kind(b"behind"))
    assert (tmp_path / "file").read_bytes() == bytes(5) + DATA + b"behind"


def test_a_write_waits_for_room_in_a_pipe_that_does_not() -> None:
    source, target = os.pipe()
    os.set_blocking(target, False)
    read = bytearray()

    def drain() -> None:
        while data := os.read(source, 1000):
            read.extend(data)

    reader = Thread(target=drain)
    reader.start()
    try:
        exact.write_next(target, DATA * 4)
    finally:
        os.close(target)
        reader.join()
        os.close(source)
    assert read == DATA * 4


@pytest.mark.usefixtures("short")
def test_a_read_is_whole_or_ends_where_the_file_does(source: int) -> None:
    assert exact.read_at(source, len(DATA), 10) == DATA
    assert exact.read_up_to(source, len(DATA), 10) == DATA
    assert exact.read_up_to(source, len(DATA), 11) == DATA[1:]
    with pytest.raises(OSError, match="ends before what was written to it") as caught:
        exact.read_at(source, len(DATA), 11)
    assert caught.value.errno == errno.EIO


@pytest.mark.usefixtures("short")
def test_a_copy_is_whole(source: int, file: int, tmp_path: Path) -> None:
    exact.copy(source, 10, file, 3, len(DATA))
    assert (tmp_path / "file").read_bytes() == bytes(3) + DATA


@pytest.mark.usefixtures("short")
def test_what_goes_to_a_pipe_is_whole(source: int) -> None:
    reader, writer = os.pipe()

    def send() -> None:
        with open(writer, "wb") as pipe:
            exact.send(source, 10, pipe.fileno(), len(DATA))

    sender = Thread(target=send)
    sender.start()
    with open(reader, "rb") as pipe:
        assert pipe.read() == DATA
    sender.join()


def test_a_copy_of_more_than_there_is_fails_instead_of_waiting(source: int, file: int) -> None:
    with pytest.raises(OSError, match="ends before what was written to it"):
        exact.copy(source, 10, file, 0, len(DATA) + 1)
    reader, writer = os.pipe()
    try:
        with pytest.raises(OSError, match="ends before what was written to it"):
            exact.send(source, 10 + len(DATA), writer, 1)
    finally:
        os.close(reader)
        os.close(writer)


def test_a_write_that_takes_nothing_fails_instead_of_being_asked_again(
    file: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "pwrite", lambda *arguments: 0)
    with pytest.raises(OSError, match="a write took nothing"):
        exact.write_at(file, b"data", 0)


def test_room_is_kept_without_making_the_file_longer(file: int) -> None:
    exact.allocate(file, 1 << 20, 5000)
    status = os.fstat(file)
    assert (status.st_size, status.st_blocks * 512) == (0, 8192)
    exact.allocate(file, 0, 0)


def test_room_that_cannot_be_kept_is_an_error() -> None:
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        exact.allocate(-1, 0, 1)
    assert caught.value.errno == errno.EBADF
