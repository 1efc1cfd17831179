"""The store's locks, against another process that holds them as podman does."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.holding import hold, release

from builder.containers_storage.handles import Handle
from builder.containers_storage.lock import locked
from builder.events import Event, Notice, ignore


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Handle]:
    (tmp_path / "layers.lock").touch()
    handle = Handle.open(str(tmp_path))
    assert handle is not None
    yield handle
    handle.close()


def may_write(path: Path) -> bool:
    code = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    return subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=False).returncode == 0


def test_who_writes_is_waited_for_and_the_user_is_told(place: Handle, tmp_path: Path) -> None:
    said: list[Event] = []
    told = threading.Event()

    def listen(event: Event) -> None:
        said.append(event)
        told.set()

    other = hold(tmp_path / "layers.lock", fcntl.LOCK_EX)
    got = threading.Event()

    def read() -> None:
        with locked(place, "layers.lock", listen):
            got.set()

    waiting = threading.Thread(target=read)
    waiting.start()
    assert told.wait(60)
    assert not got.is_set()
    release(other)
    waiting.join()
    assert said == [Notice(f"waiting for another program to finish with {tmp_path}")]
    assert got.is_set()


def test_readers_do_not_wait_for_each_other(place: Handle, tmp_path: Path) -> None:
    other = hold(tmp_path / "layers.lock", fcntl.LOCK_SH)
    said: list[Event] = []
    with locked(place, "layers.lock", said.append), locked(place, "layers.lock", said.append):
        assert said == []
    release(other)


def test_nobody_writes_while_we_read(place: Handle, tmp_path: Path) -> None:
    with locked(place, "layers.lock", ignore):
        assert not may_write(tmp_path / "layers.lock")
        # An fcntl lock of the plain kind would be lost here.
        (tmp_path / "layers.lock").read_bytes()
        with locked(place, "layers.lock", ignore):
            pass
        assert not may_write(tmp_path / "layers.lock")
    assert may_write(tmp_path / "layers.lock")


def test_without_a_lock_file_there_is_nothing_to_wait_for_and_none_is_made(place: Handle, tmp_path: Path) -> None:
    with locked(place, "images.lock", ignore):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["layers.lock"]
