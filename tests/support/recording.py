"""What is done so that things last, in order: a room that notes it, and what the system is asked for."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import pytest

from builder.store.room import Held, Room


def stable(path: str) -> str:
    """A path without what makes the name of a temporary file unique."""
    return re.sub(r"\.[0-9a-f]{16}$", "", path)


class RecordingRoom:
    """A room that notes every change in `done`, and which lock was held: none, "shared" or "alone"."""

    def __init__(self, room: Room) -> None:
        self.done: list[str] = []
        self._room = room
        self._lock = ""

    def note(self, what: str) -> None:
        self.done.append(f"{what}, {self._lock}" if self._lock else what)

    @property
    def place(self) -> str:
        return self._room.place

    def path(self, path: str) -> str | None:
        return self._room.path(path)

    def open(self, path: str) -> BinaryIO | None:
        return self._room.open(path)

    def stamp(self, path: str) -> tuple[int, ...] | None:
        return self._room.stamp(path)

    def names(self, directory: str) -> list[str]:
        return self._room.names(directory)

    def create(self, directory: str, stem: str) -> Held:
        self.note(f"create {directory}/{stem}")
        return _RecordingFile(self._room.create(directory, stem), self)

    def take_over(self, path: str) -> Held | None:
        held = self._room.take_over(path)
        return None if held is None else _RecordingFile(held, self)

    def discard(self, path: str) -> bool:
        discarded = self._room.discard(path)
        if discarded:
            self.note(f"discard {stable(path)}")
        return discarded

    def rename(self, path: str, new: str) -> None:
        self.note(f"rename {stable(path)} to {new}")
        self._room.rename(path, new)

    def remove(self, path: str) -> None:
        self.note(f"remove {stable(path)}")
        self._room.remove(path)

    def sync(self, directory: str) -> None:
        self.note(f"sync {directory}")
        self._room.sync(directory)

    @contextmanager
    def lock(self, exclusive: bool) -> Iterator[None]:
        with self._room.lock(exclusive):
            self._lock = "alone" if exclusive else "shared"
            yield
            self._lock = ""

    def close(self) -> None:
        self._room.close()


class _RecordingFile:
    def __init__(self, held: Held, room: RecordingRoom) -> None:
        self._held = held
        self._room = room

    @property
    def path(self) -> str:
        return self._held.path

    @property
    def size(self) -> int:
        return self._held.size

    def read(self, start: int, size: int) -> bytes:
        return self._held.read(start, size)

    def append(self, data: bytes) -> None:
        self._room.note(f"append to {stable(self.path)}")
        self._held.append(data)

    def truncate(self, size: int) -> None:
        self._held.truncate(size)

    def sync(self) -> None:
        self._room.note(f"sync {stable(self.path)}")
        self._held.sync()

    def close(self) -> None:
        self._held.close()


class Died(BaseException):
    """The process is gone: nothing else of it happens."""


class Calls:
    """Syncs and renames that the system is asked for: (what, inode or directory's name, new name).

    The one of number `last`, from 1 on, is not done, and ends everything.
    """

    def __init__(self, patch: pytest.MonkeyPatch, last: int = 0) -> None:
        self.done: list[tuple[str, str]] = []
        self._names: dict[int, str] = {}
        self._last = last
        fsync, replace = os.fsync, os.replace

        def noted_fsync(fd: int) -> None:
            where = os.readlink(f"/proc/self/fd/{fd}")
            self._note("sync", os.path.basename(where) if os.path.isdir(where) else str(os.fstat(fd).st_ino))
            fsync(fd)

        def noted_replace(old: str, new: str, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
            inode = os.stat(old, dir_fd=src_dir_fd, follow_symlinks=False).st_ino
            self._names[inode] = os.path.basename(new)
            self._note("rename", os.path.basename(new))
            replace(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

        patch.setattr(os, "fsync", noted_fsync)
        patch.setattr(os, "replace", noted_replace)

    def said(self) -> list[str]:
        """What was done, each file called by the name that it got in the end."""
        named = {str(inode): name for inode, name in self._names.items()}
        return [f"{what} {named.get(name, name)}" for what, name in self.done]

    def _note(self, what: str, name: str) -> None:
        if len(self.done) + 1 == self._last:
            raise Died
        self.done.append((what, name))
