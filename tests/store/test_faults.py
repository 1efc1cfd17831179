"""Every step of every change may be the last: what a store then holds is sound, and the next attempt succeeds.

A room that fails, or dies, at the n-th thing that it is asked to do, for every n.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from support.image_stores import Parts, contents, image, index, litter, put
from support.recording import Died

from builder.errors import StoreError
from builder.image.digest import Digest
from builder.image.name import ImageName
from builder.store.check import check
from builder.store.collect import collect
from builder.store.room import Held, Room
from builder.store.rooms.directory import LocalRoom
from builder.store.store import Store

OLD = image(b"shared" * 1000, b"old" * 1000)
NEW = index({"linux/amd64": image(b"shared" * 1000, b"new" * 1000), "linux/arm64": image(b"arm" * 1000)})


@dataclass
class Steps:
    """Counts what a room is asked to do; at step `last` it fails, or dies and does nothing any more."""

    last: int = 0
    dies: bool = False
    done: int = 0
    held: list[Held] = field(default_factory=list)

    def step(self) -> None:
        self.done += 1
        if self.done == self.last and not self.dies:
            raise StoreError("the store", "no space is left")
        if 0 < self.last <= self.done and self.dies:
            raise Died

    def bury(self) -> None:
        """What the system does for a dead process: its locks go."""
        for held in self.held:
            held.close()


class FaultyFile:
    def __init__(self, held: Held, steps: Steps) -> None:
        self._held = held
        self._steps = steps
        steps.held.append(held)

    @property
    def path(self) -> str:
        return self._held.path

    @property
    def size(self) -> int:
        return self._held.size

    def read(self, start: int, size: int) -> bytes:
        self._steps.step()
        return self._held.read(start, size)

    def append(self, data: bytes) -> None:
        before = self._steps.done
        try:
            self._steps.step()
        except Died:
            if before + 1 == self._steps.last:
                # In the middle of a write.
                self._held.append(data[: len(data) // 2])
            raise
        self._held.append(data)

    def truncate(self, size: int) -> None:
        self._steps.step()
        self._held.truncate(size)

    def sync(self) -> None:
        # Counted only: it makes a difference when the machine stops, not when a process does.
        self._steps.step()

    def close(self) -> None:
        # Cannot fail, and changes nothing but locks.
        self._held.close()


class FaultyRoom:
    def __init__(self, room: Room, steps: Steps) -> None:
        self._room = room
        self._steps = steps

    @property
    def place(self) -> str:
        return self._room.place

    def path(self, path: str) -> str | None:
        return self._room.path(path)

    def open(self, path: str) -> BinaryIO | None:
        self._steps.step()
        return self._room.open(path)

    def stamp(self, path: str) -> tuple[int, ...] | None:
        self._steps.step()
        return self._room.stamp(path)

    def names(self, directory: str) -> list[str]:
        self._steps.step()
        return self._room.names(directory)

    def create(self, directory: str, stem: str) -> Held:
        self._steps.step()
        return FaultyFile(self._room.create(directory, stem), self._steps)

    def take_over(self, path: str) -> Held | None:
        self._steps.step()
        held = self._room.take_over(path)
        return None if held is None else FaultyFile(held, self._steps)

    def discard(self, path: str) -> bool:
        self._steps.step()
        return self._room.discard(path)

    def rename(self, path: str, new: str) -> None:
        self._steps.step()
        self._room.rename(path, new)

    def remove(self, path: str) -> None:
        self._steps.step()
        self._room.remove(path)

    def sync(self, directory: str) -> None:
        self._steps.step()

    @contextmanager
    def lock(self, exclusive: bool) -> Iterator[None]:
        self._steps.step()
        with self._room.lock(exclusive):
            yield

    def close(self) -> None:
        self._room.close()


ACTS: dict[str, Callable[[Store], Any]] = {
    "put an image": lambda store: put(store, "localhost/new:1", NEW),
    "replace an image": lambda store: put(store, "localhost/old:1", NEW),
    "put an image again": lambda store: put(store, "localhost/old:1", OLD),
    "remove an image": lambda store: store.remove(ImageName.parse("localhost/old:1")),
    "collect": collect,
    "verify with quarantine": lambda store: check(store, quarantine=True),
}


def opened(path: Path, steps: Steps) -> Store:
    return Store(FaultyRoom(LocalRoom(str(path)), steps))


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """A store with an image, what an interrupted transfer left, and garbage."""
    path = tmp_path / "prepared"
    store = opened(path, Steps())
    put(store, "localhost/old:1", OLD)
    put(store, "localhost/garbage:1", image(b"garbage" * 1000))
    store.remove(ImageName.parse("localhost/garbage:1"))
    with store.lease() as lease:
        new = max(NEW.descriptors(), key=lambda descriptor: descriptor.size)
        incoming = store.receive(new, lease)
        incoming.write(NEW.blobs[new.digest][:100])
        incoming.close()
    return path


def sound(store: Store, known: tuple[Parts, ...]) -> None:
    """Whatever has a blob's name is that blob, and whatever has a reference is whole."""
    for name, content in contents(store).items():
        assert str(Digest.of(content)) == name
    resolved = [descriptor for _, descriptor in store.references()]
    assert [each for each in resolved if each not in [parts.document for parts in known]] == []
    for parts in known:
        if parts.document in resolved:
            assert {str(digest) for digest in (parts.document.digest, *parts.blobs)} <= contents(store).keys()


@pytest.mark.slow
@pytest.mark.parametrize("dies", [True, False], ids=["dies", "fails"])
@pytest.mark.parametrize("act", ACTS)
def test_any_step_may_be_the_last(tmp_path: Path, prepared: Path, act: str, dies: bool) -> None:
    last = 0
    while True:
        last += 1
        shutil.copytree(prepared, tmp_path / str(last))
        store = opened(tmp_path / str(last), Steps())
        steps = Steps(last, dies)
        with suppress(Died, StoreError):
            ACTS[act](opened(tmp_path / str(last), steps))
        steps.bury()
        sound(store, (OLD, NEW))
        if act not in ("remove an image", "replace an image"):
            assert store.get_manifest(ImageName.parse("localhost/old:1")) == OLD.document
        collect(store)
        assert litter(store) == []
        sound(store, (OLD, NEW))
        assert check(store).damages == ()
        ACTS[act](store)
        sound(store, (OLD, NEW))
        collect(store)
        assert litter(store) == []
        if steps.done < last:
            break
    assert last > 5
