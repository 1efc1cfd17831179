"""In which order the store does what makes it last, and under which lock: a machine may stop at any step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.image_stores import describe, image, put
from support.recording import Calls, RecordingRoom

from builder.image.name import ImageName
from builder.store.collect import collect
from builder.store.rooms.directory import LocalRoom
from builder.store.store import Store

DATA = b"content"
BLOB = describe(DATA)
NAME = ImageName.parse("localhost/app:1")


@pytest.fixture
def room(tmp_path: Path) -> RecordingRoom:
    return RecordingRoom(LocalRoom(str(tmp_path)))


@pytest.fixture
def store(room: RecordingRoom) -> Iterator[Store]:
    with closing(Store(room)) as opened:
        yield opened


def test_a_blob_is_leased_then_written_then_synced_then_named(store: Store, room: RecordingRoom) -> None:
    with store.lease() as lease:
        store.put(BLOB, [DATA], lease)
    temporary = f"tmp/sha256-{BLOB.digest.hex}"
    assert [each for each in room.done if not each.startswith("remove")] == [
        "create leases/lease, shared",
        "append to leases/lease, shared",
        f"create {temporary}",
        f"append to {temporary}",
        f"sync {temporary}",
        f"rename {temporary} to blobs/sha256/{BLOB.digest.hex}, shared",
        "sync blobs/sha256",
    ]


def test_a_reference_is_named_after_all_that_it_needs_is_on_the_disk(store: Store, room: RecordingRoom) -> None:
    put(store, str(NAME), image(b"layer"))
    done = [each for each in room.done if not each.startswith("remove")]
    (path,) = store.reference_files()
    named = [at for at, each in enumerate(done) if each.startswith("rename tmp/sha256")]
    # Once by whoever named it, and once for blobs that others put there.
    assert done[max(named) + 1 :] == [
        "sync blobs/sha256",
        "sync blobs/sha256",
        "create tmp/reference",
        "append to tmp/reference",
        "sync tmp/reference",
        f"rename tmp/reference to {path}, shared",
        f"sync {path.rpartition('/')[0]}",
    ]


def test_a_collection_removes_nothing_but_alone(store: Store, room: RecordingRoom) -> None:
    put(store, str(NAME), image(b"layer"))
    room.done.clear()
    store.remove(NAME)
    assert collect(store).blobs == 3
    assert [each for each in room.done if "remove blobs" in each and not each.endswith(", alone")] == []
    assert len([each for each in room.done if each.startswith("remove blobs/sha256/")]) == 3


def test_a_directory_asks_the_system_for_all_of_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = LocalRoom(str(tmp_path))
    held = room.create("tmp", "blob")
    held.append(DATA)
    calls = Calls(monkeypatch)
    held.sync()
    room.rename(held.path, "blobs/name")
    room.sync("blobs")
    held.close()
    # The directory that is made for it is on the disk before anything is put into it.
    assert calls.said() == ["sync name", f"sync {tmp_path.name}", "rename name", "sync blobs"]
