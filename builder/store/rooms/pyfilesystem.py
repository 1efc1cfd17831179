"""A store in any PyFilesystem that renames in one step.

Such places know no locks that end with a process, so locks hold among the threads of this process alone: a store of
this kind is for one process at a time. What another process left in it is never taken over, only collected.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from secrets import token_hex
from threading import Condition
from typing import TYPE_CHECKING, BinaryIO
from weakref import WeakValueDictionary

from builder.errors import InvalidReference, StoreError
from builder.events import Listener, ignore
from builder.files.home import expand_home
from builder.files.translated import Translated
from builder.files.urls import parse_url
from builder.store.room import Room
from builder.store.rooms.directory import LocalRoom
from builder.store.rooms.pyfilesystem_file import PyFilesystemFile, using
from builder.words import without_password

if TYPE_CHECKING:
    from fs.base import FS


# URLs that PyFilesystem gives to local directories, and to archives.
_LOCAL = ("osfs", "file")
_ARCHIVES = ("zip", "tar")


def open_room(url: str, below: str, listen: Listener = ignore) -> Room:
    """Open the room in the directory `below` of what a URL names; local directories get locks of the system's.

    `listen` is told of one that is waited for. Raises InvalidReference where no opener takes the URL, and StoreError
    where no store can be.
    """
    parsed = parse_url(url)
    place = without_password(url)
    if parsed.protocol in _LOCAL:
        # It need not be there yet, for which its opener would ask.
        path = expand_home(os.path.expandvars(parsed.resource))
        if path is None:
            raise InvalidReference(place, "names a home directory that there is not; write the whole path")
        return LocalRoom(os.path.join(path, (parsed.path or "").strip("/"), below), listen=listen)
    if parsed.protocol in _ARCHIVES:
        # Their openers would make or overwrite a file.
        raise _cannot_rename(place)
    from fs.opener import open as open_url
    from fs.opener.errors import UnsupportedProtocol

    with using(place):
        try:
            filesystem, path = open_url(url, writeable=True)
        except UnsupportedProtocol as error:
            reason = f"no PyFilesystem opener for {parsed.protocol}:// is installed"
            raise InvalidReference(place, reason) from error
    return room_in(filesystem, "/".join(filter(None, [(path or "").strip("/"), below])), place)


def room_in(filesystem: FS, below: str, place: str) -> Room:
    """Make a room of a directory of an open file system, named `place` in messages; raises StoreError."""
    with using(place):
        if filesystem.hassyspath("/"):
            return LocalRoom(os.path.join(filesystem.getsyspath("/"), below), filesystem.close)
    return PyFilesystemRoom(filesystem, below, place)


class _Locks:
    """Who holds what, among the threads of this process."""

    def __init__(self) -> None:
        self.condition = Condition()
        self.sharing = 0
        self.exclusive = False
        self.held: set[str] = set()
        self.made: set[str] = set()


# By the URL: two who open the same place must see each other.
_LOCKS: WeakValueDictionary[str, _Locks] = WeakValueDictionary()


class PyFilesystemRoom:
    """The files below a directory of a PyFilesystem."""

    def __init__(self, filesystem: FS, below: str, place: str) -> None:
        """Take over `filesystem`; raises StoreError if it cannot rename in one step."""
        self._filesystem = filesystem
        self._below = below
        self._place = place
        with using(place):
            if not _renames_in_one_step(filesystem):
                filesystem.close()
                raise _cannot_rename(place)
        self._locks = _LOCKS.setdefault(f"{place} {below}", _Locks())

    @property
    def place(self) -> str:
        """Name the file system and the directory."""
        return f"{self._place}/{self._below}"

    def path(self, path: str) -> None:
        """Files have no path here."""

    def open(self, path: str) -> BinaryIO | None:
        """Open a file for reading; None when there is nothing of that name."""
        from fs.errors import ResourceNotFound

        with self._at(path) as real:
            try:
                file = self._filesystem.openbin(real)
            except ResourceNotFound:
                return None
        return io.BufferedReader(Translated(file, partial(using, self._where(path))))

    def stamp(self, path: str) -> tuple[int, ...] | None:
        """Give size and date, so far as the file system knows them."""
        from fs.errors import ResourceNotFound

        with self._at(path) as real:
            try:
                info = self._filesystem.getinfo(real, ["details"])
            except ResourceNotFound:
                return None
            if info.is_dir:
                raise StoreError(self._where(path), "is not a regular file; the store did not make it, so remove it")
            return (int(info.size), int(1e6 * (info.get("details", "modified") or 0)))

    def names(self, directory: str) -> list[str]:
        """List what is in a directory, sorted; nothing when it is not there."""
        from fs.errors import ResourceNotFound

        with self._at(directory) as real:
            try:
                return sorted(self._filesystem.listdir(real))
            except ResourceNotFound:
                return []

    def create(self, directory: str, stem: str) -> PyFilesystemFile:
        """Make and hold a new file of a unique name."""
        path = f"{directory}/{stem}.{token_hex(8)}"
        with self._locks.condition:
            self._locks.held.add(path)
            self._locks.made.add(path)
        with self._at(path) as real:
            self._make_directory(directory)
            self._filesystem.create(real)
            return self._held(path, 0)

    def take_over(self, path: str) -> PyFilesystemFile | None:
        """Hold a file that this process made and no thread holds."""
        stamp = self.stamp(path)
        with self._locks.condition:
            if stamp is None or path in self._locks.held or path not in self._locks.made:
                return None
            self._locks.held.add(path)
        stamp = self.stamp(path)
        if stamp is None:
            self._let_go(path)
            return None
        return self._held(path, stamp[0])

    def discard(self, path: str) -> bool:
        """Remove a file that no thread of this process holds."""
        with self._locks.condition:
            if path in self._locks.held:
                return False
            if self.stamp(path) is None:
                return False
            self.remove(path)
        return True

    def rename(self, path: str, new: str) -> None:
        """Move a file in one step."""
        with self._at(path) as real:
            self._make_directory(os.path.dirname(new))
            self._filesystem.move(real, self._real(new), overwrite=True)

    def remove(self, path: str) -> None:
        """Remove a file or an empty directory; what is not there or not empty is left."""
        from fs.errors import DirectoryNotEmpty, ResourceNotFound

        with self._at(path) as real, suppress(DirectoryNotEmpty, ResourceNotFound):
            if self._filesystem.isdir(real):
                self._filesystem.removedir(real)
            else:
                self._filesystem.remove(real)

    def sync(self, directory: str) -> None:
        """Nothing that could be waited for."""

    @contextmanager
    def lock(self, exclusive: bool) -> Iterator[None]:
        """Wait for the lock, among the threads of this process."""
        locks = self._locks
        with locks.condition:
            locks.condition.wait_for(lambda: not locks.exclusive and not (exclusive and locks.sharing))
            locks.exclusive = exclusive
            locks.sharing += not exclusive
        try:
            yield
        finally:
            with locks.condition:
                locks.exclusive = False
                locks.sharing -= not exclusive
                locks.condition.notify_all()

    def close(self) -> None:
        """Close the file system."""
        self._filesystem.close()

    def _held(self, path: str, size: int) -> PyFilesystemFile:
        reopen = partial(self._filesystem.openbin, self._real(path), "r+")
        return PyFilesystemFile(path, self._where(path), size, reopen, partial(self._let_go, path))

    def _let_go(self, path: str) -> None:
        with self._locks.condition:
            self._locks.held.discard(path)

    def _real(self, path: str) -> str:
        return "/".join(filter(None, [self._below, path]))

    def _where(self, path: str) -> str:
        return f"{self.place}/{path}"

    def _make_directory(self, directory: str) -> None:
        self._filesystem.makedirs(self._real(directory), recreate=True)

    @contextmanager
    def _at(self, path: str) -> Iterator[str]:
        with using(self._where(path)):
            yield self._real(path)


def _cannot_rename(place: str) -> StoreError:
    reason = "this kind of file system cannot rename in one step, which a store needs; choose a directory"
    return StoreError(place, reason)


def _renames_in_one_step(filesystem: FS) -> bool:
    """Believe what the file system says of itself. Memory's own says nothing, and does."""
    from fs.memoryfs import MemoryFS
    from fs.wrapfs import WrapFS

    said = filesystem.getmeta().get("supports_rename")
    while isinstance(filesystem, WrapFS):
        filesystem = filesystem.delegate_fs()
    return isinstance(filesystem, MemoryFS) if said is None else bool(said)
