"""A file of a PyFilesystem, which may be anybody's code, with errors that are ours."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import BinaryIO


class Translated(io.RawIOBase):
    """A file that is read; each call is made within `translate()`, which turns what it raises into ours."""

    def __init__(self, file: BinaryIO, translate: Callable[[], AbstractContextManager[None]]) -> None:
        super().__init__()
        self._file = file
        self._translate = translate

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say whether it can be read from anywhere."""
        with self._translate():
            return self._file.seekable()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position, in bytes."""
        with self._translate():
            return self._file.seek(offset, whence)

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Read what comes next, as io.RawIOBase promises."""
        with self._translate():
            data = self._file.read(len(buffer))
            # What is no data, or more than was asked for, is its fault as well.
            buffer[: len(data)] = data
            return len(data)

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._file.close()
        super().close()
