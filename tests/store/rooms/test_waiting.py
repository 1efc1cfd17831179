"""The lock of a store that another process has: who waits for it says so."""

from __future__ import annotations

import fcntl
import subprocess
from contextlib import closing
from pathlib import Path
from typing import IO

import pytest
from support.command import ENVIRONMENT, argv
from support.images import Spec, layout
from support.tars import file, tar

from builder.actions.pull import pull
from builder.events import Event, Listener, Notice
from builder.sources import open_source
from builder.sources.access import Access, Means
from builder.sources.resolve import resolve
from builder.store.rooms import directory
from builder.store.rooms.directory import LocalRoom


def _ending(others: IO[bytes], heard: list[str]) -> Listener:
    """Hear notices; whoever holds the lock by that file lets go of it at the first."""

    def listen(event: Event) -> None:
        if isinstance(event, Notice):
            heard.append(event.text)
            fcntl.flock(others, fcntl.LOCK_UN)

    return listen


def test_a_lock_that_is_waited_for_is_said_and_one_that_is_free_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "MOMENT", 0.0)
    heard: list[str] = []
    with (tmp_path / "lock").open("wb") as others:
        room = LocalRoom(str(tmp_path), listen=_ending(others, heard))
        with room.lock(exclusive=False):
            assert heard == []
        fcntl.flock(others, fcntl.LOCK_EX)
        with room.lock(exclusive=False):
            assert heard == [f"{tmp_path}: another process has locked it, as `store gc` does; waiting for its end"]


def test_who_uses_a_store_hears_that_it_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "MOMENT", 0.0)
    layout(tmp_path / "image", Spec((tar(file("a", b"")),)))
    access = Access(str(tmp_path / "store"))
    pull(f"oci:{tmp_path}/image:latest", access)

    def read(listen: Listener) -> None:
        with closing(open_source("store:image", access, Means(listen=listen))) as source:
            resolve(source, "store:image", None)

    def bring(listen: Listener) -> None:
        pull(f"oci:{tmp_path}/image:latest", access, listen=listen)

    for use in (read, bring):
        with (tmp_path / "store" / "images" / "lock").open("rb") as others:
            heard: list[str] = []
            fcntl.flock(others, fcntl.LOCK_EX)
            use(_ending(others, heard))
        assert len(heard) == 1


@pytest.mark.heavy
def test_store_gc_says_that_it_waits(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with (tmp_path / "images" / "lock").open("wb") as others:
        fcntl.flock(others, fcntl.LOCK_EX)
        words = argv("store", "gc", "--store", tmp_path)
        process = subprocess.Popen(words, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        said = process.stderr.readline()
    assert "another process has locked it, as `store gc` does; waiting for its end" in said
    assert process.communicate() == ("0 B freed: 0 blobs, 0 temporary files, 0 leases\n", "")
    assert process.returncode == 0
