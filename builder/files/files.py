"""The files of an image wherever they are: one small interface, and what all of its kinds share."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Protocol

from builder.denied import unless_denied
from builder.errors import SourceUnreadable
from builder.shortage import unless_short


class Files(Protocol):
    """Files by their relative names, in a directory, an archive or any other file system.

    No name leads out of the place: UnsafeFile is raised for a symlink that would, and for what is no regular file.
    """

    @property
    def place(self) -> str:
        """Name the place in messages."""
        ...

    def open(self, path: str) -> BinaryIO | None:
        """Open a regular file for reading, or return None when there is nothing of that name. The caller closes it."""
        ...

    def size(self, path: str) -> int | None:
        """Return a regular file's size in bytes, or None when there is nothing of that name."""
        ...

    def inputs(self) -> list[str]:
        """Name the local files that were opened so far, for make."""
        ...

    def close(self) -> None:
        """Release what is held open; files that were opened stay readable."""
        ...


class Span(io.RawIOBase):
    """A stretch of an open file; several of one file can be read at once, for none moves the file's position."""

    def __init__(self, fd: int, where: str, start: int = 0, size: int | None = None) -> None:
        """Take over the descriptor `fd`; `start` and `size` are bytes; without a size it ends with the file."""
        super().__init__()
        self._fd = fd
        self._where = where
        self._start = start
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that it can be read from anywhere."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position in the stretch, counted from its start or from where it is read."""
        if whence not in (os.SEEK_SET, os.SEEK_CUR):
            raise io.UnsupportedOperation("the end is not looked for")
        self._position = max(0, offset + (self._position if whence == os.SEEK_CUR else 0))
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Read what comes next, as io.RawIOBase promises; raises SourceUnreadable."""
        view = memoryview(buffer)
        if self._size is not None:
            view = view[: max(0, self._size - self._position)]
        with reading(self._where):
            count = os.preadv(self._fd, [view], self._start + self._position)
        self._position += count
        return count

    def close(self) -> None:
        """Close the descriptor."""
        if not self.closed:
            os.close(self._fd)
        super().close()


def span(fd: int, where: str, start: int = 0, size: int | None = None) -> BinaryIO:
    """Make a readable file of a stretch of another; it takes over the descriptor `fd`."""
    return io.BufferedReader(Span(fd, where, start, size))


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Turn an operating system's error into ours; `where` names what was being read. Raises Shortage, too."""
    try:
        yield
    except OSError as error:
        reason = unless_short(unless_denied(error, where)).strerror or error
        raise SourceUnreadable(where, f"cannot be read: {reason}") from error
