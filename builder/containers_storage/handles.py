"""Directories of a store by handle: no path is walked twice, and what a store should not hold is refused."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from builder.errors import MissingRequirement, SourceUnreadable, UnsafeFile, UnsupportedImage
from builder.files.below import LISTED, PLACE, NotRegular, open_directory, open_regular
from builder.words import legible


class Handle:
    """An open directory; `where` is its path, for messages."""

    def __init__(self, fd: int, where: str) -> None:
        """Take over the descriptor `fd`, opened with O_PATH."""
        self.fd = fd
        self.where = where

    @classmethod
    def open(cls, path: str) -> Self | None:
        """Open the directory at `path`, which may lead through symlinks; None when there is none."""
        with reading(path):
            try:
                return cls(os.open(path, PLACE), path)
            except (FileNotFoundError, NotADirectoryError):
                return None

    def directory(self, name: str | bytes) -> Handle | None:
        """Open a directory by its name in this one; None when there is nothing of that name.

        Raises UnsafeFile for a symlink and for what is no directory.
        """
        where = self.path(name)
        with reading(where):
            try:
                return Handle(open_directory(name, self.fd), where)
            except FileNotFoundError:
                return None
            except NotADirectoryError as error:
                raise UnsafeFile(where, "is no directory, but a symlink or a file in the place of one") from error

    def file(self, name: str | bytes) -> int | None:
        """Open a regular file for reading and return its descriptor; None when there is nothing of that name.

        Raises UnsafeFile for a symlink, a device and the like.
        """
        where = self.path(name)
        with reading(where):
            try:
                return open_regular(name, self.fd)
            except FileNotFoundError:
                return None
            except NotRegular as error:
                reason = "is no regular file, where the store must have one; pull or build the image again"
                raise UnsafeFile(where, reason) from error

    def read(self, name: str, limit: int) -> bytes | None:
        """Read a whole file; None when there is nothing of that name, UnsupportedImage past `limit` bytes."""
        fd = self.file(name)
        if fd is None:
            return None
        where = self.path(name)
        with open(fd, "rb") as file, reading(where):
            # By its size, before it is read: it may be a hole of terabytes.
            data = file.read(limit) if os.fstat(fd).st_size <= limit else None
        if data is None:
            raise UnsupportedImage(where, f"is longer than {limit} bytes, which no such document should be")
        return data

    def names(self) -> list[bytes]:
        """List what is in this directory, in the order of its bytes."""
        with reading(self.where):
            fd = open_directory(".", self.fd, LISTED)
            try:
                return sorted(os.fsencode(name) for name in os.listdir(fd))
            finally:
                os.close(fd)

    def status(self, name: str | bytes) -> os.stat_result | None:
        """Look at an entry itself, never at what a symlink points at; None when there is nothing of that name."""
        with reading(self.path(name)):
            try:
                return os.stat(name, dir_fd=self.fd, follow_symlinks=False)
            except FileNotFoundError:
                return None

    def path(self, name: str | bytes) -> str:
        """Name an entry of this directory in messages."""
        return f"{self.where}/{legible(name)}"

    def close(self) -> None:
        """Close the directory."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Turn an operating system's error into ours; `where` names what was being read."""
    try:
        yield
    except PermissionError as error:
        todo = "run this as the store's owner; in a rootless store, as podman unshare rootfs-builder …"
        raise MissingRequirement(f"{where}: {error.strerror}; {todo}") from error
    except OSError as error:
        raise SourceUnreadable(where, f"cannot be read: {error.strerror or error}") from error
