"""Stores behind PyFilesystem URLs: which file systems will do, and what the others are told."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest
from support.image_stores import contents, describe, image, litter, put

from builder.errors import InvalidReference, StoreError
from builder.image.digest import Digest
from builder.image.name import ImageName
from builder.store import open_store
from builder.store.rooms.directory import LocalRoom
from builder.store.rooms.pyfilesystem import PyFilesystemRoom, room_in
from builder.store.store import Store


@pytest.mark.parametrize("form", ["osfs://{}", "file://{}", "osfs://{}/"])
def test_a_url_of_a_local_directory_gets_the_systems_locks(tmp_path: Path, form: str) -> None:
    with closing(open_store(form.format(tmp_path))) as store:
        assert isinstance(store.room, LocalRoom)
        put(store, "localhost/x", image(b"layer"))
        assert store.path(Digest.of(b"layer")) == str(tmp_path / "images/blobs/sha256" / Digest.of(b"layer").hex)
    assert open_store(str(tmp_path)).get_manifest(ImageName.parse("localhost/x")) is not None


def test_a_local_directory_that_is_not_there_yet_is_made(tmp_path: Path) -> None:
    with closing(open_store(f"osfs://{tmp_path}/new/store")) as store:
        put(store, "localhost/x", image(b"layer"))
    assert (tmp_path / "new/store/images/blobs").is_dir()


@pytest.mark.parametrize("scheme", ["temp://x", "mem://"])
def test_a_store_may_be_for_the_moment(scheme: str) -> None:
    with closing(open_store(scheme)) as store:
        put(store, "localhost/x", image(b"layer"))
        assert contents(store).keys() >= {str(Digest.of(b"layer"))}
        assert litter(store) == []


@pytest.mark.parametrize("url", ["zip://{}/store.zip", "tar://{}/store.tar"])
def test_an_archive_is_refused_and_not_touched(tmp_path: Path, url: str) -> None:
    with pytest.raises(StoreError) as caught:
        open_store(url.format(tmp_path))
    assert caught.value.reason.startswith("this kind of file system cannot rename in one step")
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_that_copies_instead_of_renaming_is_refused() -> None:
    from fs.memoryfs import MemoryFS
    from fs.wrap import read_only

    with pytest.raises(StoreError, match="cannot rename in one step"):
        room_in(read_only(MemoryFS()), "images", "place")


def test_a_url_without_opener_is_wrong_usage() -> None:
    with pytest.raises(InvalidReference) as caught:
        open_store("nowhere://me:secret@host/x")
    assert caught.value.reason == "no PyFilesystem opener for nowhere:// is installed"
    assert "secret" not in str(caught.value)


def test_a_room_in_a_directory_of_this_machine_is_a_local_one(tmp_path: Path) -> None:
    from fs.osfs import OSFS

    (tmp_path / "below").mkdir()
    with OSFS(str(tmp_path)) as filesystem, filesystem.opendir("below") as below:
        room = room_in(below, "images", "place")
        assert isinstance(room, LocalRoom)
        assert room.place == str(tmp_path / "below/images")


def test_threads_that_open_one_place_twice_see_each_other(tmp_path: Path) -> None:
    from fs.memoryfs import MemoryFS

    filesystem = MemoryFS()
    stores = [Store(PyFilesystemRoom(filesystem, "images", f"mem://{tmp_path}")) for _ in range(2)]
    data = b"x" * 100
    with stores[0].lease() as lease, closing(stores[0].receive(describe(data), lease)) as first:
        first.write(data[:50])
        with closing(stores[1].receive(describe(data), lease)) as second:
            assert second.there == 0
    reached: list[object] = []
    with stores[0].room.lock(exclusive=True):
        thread = Thread(target=lambda: reached.append(stores[1].room.lock(exclusive=False).__enter__()))
        thread.start()
        assert reached == []
    thread.join()
    assert len(reached) == 1


def test_what_another_process_left_is_not_taken_over_but_collected(tmp_path: Path) -> None:
    from fs.memoryfs import MemoryFS

    from builder.store.collect import collect

    filesystem = MemoryFS()
    filesystem.makedirs("images/tmp")
    data = b"x" * 100
    filesystem.writebytes(f"images/tmp/sha256-{Digest.of(data).hex}.{'0' * 16}", data[:50])
    store = Store(PyFilesystemRoom(filesystem, "images", f"mem://{tmp_path}"))
    with store.lease() as lease, closing(store.receive(describe(data), lease)) as incoming:
        assert incoming.there == 0
    assert collect(store).temporaries == 2
    assert litter(store) == []
