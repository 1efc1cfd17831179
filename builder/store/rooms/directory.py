"""A store in a directory of this machine: flock(2) says who lives, fsync(2) what lasts.

A lock goes with its process, however that ends. Between opening a file and locking it somebody may have removed it, so
after locking it must still have its name.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from secrets import token_hex
from typing import BinaryIO

from builder.errors import StoreError
from builder.events import Listener, Notice, ignore
from builder.files.lasting import make_lasting, sync_directory
from builder.store.rooms.directory_file import LocalFile, LocalReader, using

_LOCK = "lock"
# Not through symlinks, and without waiting for the other end of a fifo: only we make files here, and only regular ones.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# In seconds: a change keeps the lock for less, and only a collection, or who is stopped, for longer.
MOMENT = 2.0
_LOOK = 0.01


class LocalRoom:
    """The files below one directory, which is made when something is written."""

    def __init__(self, root: str, close: Callable[[], object] = lambda: None, listen: Listener = ignore) -> None:
        """`close` is called when the room is closed; `listen` is told of a lock that is waited for."""
        self._root = os.path.abspath(root)
        self._close = close
        self._listen = listen

    @property
    def place(self) -> str:
        """Name the directory."""
        return self._root

    def path(self, path: str) -> str:
        """Say where a file is on this machine."""
        return os.path.join(self._root, path)

    def open(self, path: str) -> BinaryIO | None:
        """Open a file for reading; None when there is nothing of that name."""
        with using(self.path(path)):
            fd = self._open(path, _READ)
        return None if fd is None else io.BufferedReader(LocalReader(self.path(path), fd))

    def stamp(self, path: str) -> tuple[int, ...] | None:
        """Give size, device, inode and the times of the last changes."""
        with using(self.path(path)):
            try:
                status = os.stat(self.path(path), follow_symlinks=False)
            except FileNotFoundError:
                return None
            _check_regular(status, self.path(path))
        return (status.st_size, status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)

    def names(self, directory: str) -> list[str]:
        """List what is in a directory, sorted; nothing when it is not there."""
        with using(self.path(directory)):
            try:
                return sorted(os.listdir(self.path(directory)))
            except FileNotFoundError:
                return []

    def create(self, directory: str, stem: str) -> LocalFile:
        """Make, lock and return a new file of a unique name."""
        with using(self.path(directory)):
            while True:
                path = f"{directory}/{stem}.{token_hex(8)}"
                self._make_directory(directory)
                # Who removes empty directories may do so before there is something in this one.
                with suppress(FileNotFoundError):
                    held = self._hold(path, os.open(self.path(path), _WRITE | os.O_CREAT | os.O_EXCL, 0o666))
                    if held is not None:
                        return held

    def take_over(self, path: str) -> LocalFile | None:
        """Lock a file that no living process has locked; None when one has, or when it is gone."""
        with using(self.path(path)):
            fd = self._open(path, _WRITE)
            return None if fd is None else self._hold(path, fd)

    def discard(self, path: str) -> bool:
        """Remove a file that no living process has locked; say whether it was removed."""
        with using(self.path(path)):
            try:
                fd = self._open(path, _WRITE)
            except PermissionError:
                # Another user's, in a directory that we may write. NFS has no exclusive locks for readers.
                fd = self._open(path, _READ)
            held = None if fd is None else self._hold(path, fd)
        if held is None:
            return False
        self.remove(path)
        held.close()
        return True

    def rename(self, path: str, new: str) -> None:
        """Rename a file below the root, replacing what had the name."""
        with using(self.path(new)):
            self._make_directory(os.path.dirname(new))
            os.replace(self.path(path), self.path(new))

    def remove(self, path: str) -> None:
        """Remove a file or an empty directory; what is not there or not empty is left."""
        with using(self.path(path)), suppress(FileNotFoundError):
            try:
                os.unlink(self.path(path))
            except IsADirectoryError:
                try:
                    os.rmdir(self.path(path))
                except OSError as error:
                    if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                        raise

    def sync(self, directory: str) -> None:
        """Wait until the names in a directory are on the disk; one that is not there has none."""
        with using(self.path(directory)), suppress(FileNotFoundError):
            sync_directory(self.path(directory))

    @contextmanager
    def lock(self, exclusive: bool) -> Iterator[None]:
        """Wait for the lock of the whole store; a lock is a file description's, so threads lock each other out too."""
        with using(self.path(_LOCK)):
            self._make_directory("")
            try:
                fd = os.open(self.path(_LOCK), _WRITE | os.O_CREAT, 0o666)
            except PermissionError:
                # Another user's store: who may read it may share its lock.
                fd = os.open(self.path(_LOCK), _READ)
        try:
            with using(self.path(_LOCK)):
                self._wait_for(fd, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
            yield
        finally:
            os.close(fd)

    def close(self) -> None:
        """Nothing is held open but what the room was made with."""
        self._close()

    def _wait_for(self, fd: int, lock: int) -> None:
        """Lock an open file; say so where that takes longer than a moment."""
        end = time.monotonic() + MOMENT
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(fd, lock | fcntl.LOCK_NB)
                return
            if time.monotonic() >= end:
                break
            time.sleep(_LOOK)
        self._listen(Notice(f"{self._root}: another process has locked it, as `store gc` does; waiting for its end"))
        fcntl.flock(fd, lock)

    def _open(self, path: str, flags: int) -> int | None:
        """Open a regular file; None when there is nothing of that name."""
        try:
            fd = os.open(self.path(path), flags)
        except FileNotFoundError:
            return None
        try:
            _check_regular(os.fstat(fd), self.path(path))
        except StoreError:
            os.close(fd)
            raise
        return fd

    def _hold(self, path: str, fd: int) -> LocalFile | None:
        """Lock an open file; None when somebody else has, or has removed or renamed it meanwhile."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            named, opened = os.stat(self.path(path), follow_symlinks=False), os.fstat(fd)
            if (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino):
                return LocalFile(path, self.path(path), fd)
        except (FileNotFoundError, BlockingIOError):
            pass
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        return None

    def _make_directory(self, directory: str) -> None:
        make_lasting(self.path(directory).rstrip("/"))


def _check_regular(status: os.stat_result, where: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise StoreError(where, "is not a regular file; the store did not make it, so remove it")
