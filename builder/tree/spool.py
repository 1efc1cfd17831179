"""One anonymous file that holds the content of every file of the tree, written once, as it arrives."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from builder.exact import copy, read_at, write_next
from builder.tree.nodes import EMPTY, Content

# Content starts on a page boundary: holes stay holes, and a file system with reflinks can share the blocks.
ALIGNMENT = 4096


class Spool:
    """Content by offset, in a file without a name: whatever ends the process, nothing of it stays behind."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._end = 0
        # A range known to be data: finding where it ends may take long, and neighbours need not ask again.
        self._data_start = self._data_end = 0

    def add(self, size: int, write: Callable[[int], None]) -> Content:
        """Store `size` bytes that `write(fd)` puts at the descriptor's position, leaving out holes.

        Raises ValueError if `write` goes on after `size` bytes: what comes next would overwrite that.
        """
        if size == 0:
            return EMPTY
        offset = self._end
        os.lseek(self.fd, offset, os.SEEK_SET)
        write(self.fd)
        excess = os.lseek(self.fd, 0, os.SEEK_CUR) - (offset + size)
        if excess > 0:
            raise ValueError(f"content is {excess} bytes longer than the {size} announced")
        self._end = offset + -(-size // ALIGNMENT) * ALIGNMENT
        # The tail of a sparse file may be a hole, and a hole at the end is not written by anybody.
        os.ftruncate(self.fd, self._end)
        return Content(offset, size)

    def keep(self, data: bytes) -> Content:
        """Store a small content that is at hand."""
        return self.add(len(data), lambda fd: write_next(fd, data))

    def read(self, content: Content) -> bytes:
        """Return a small content whole."""
        return read_at(self.fd, content.size, content.offset)

    def data(self, content: Content) -> Iterator[tuple[int, int]]:
        """Yield (position in the spool, length) of each stretch of `content` that is not a hole, in order."""
        position, end = content.offset, content.offset + content.size
        while position < end:
            if not self._data_start <= position < self._data_end and not self._find_data(position):
                return  # only holes are left
            start = max(self._data_start, position)
            if start >= end:
                return
            position = min(self._data_end, end)
            yield start, position - start

    def copy(self, content: Content, fd: int) -> None:
        """Make the empty file `fd` hold `content`, holes included; nothing depends on the descriptors' positions."""
        for start, length in self.data(content):
            self.copy_part(start, length, fd, start - content.offset)
        os.ftruncate(fd, content.size)

    def copy_part(self, start: int, length: int, fd: int, position: int) -> None:
        """Copy `length` bytes from `start` in the spool to `position` in the file `fd`."""
        copy(self.fd, start, fd, position, length)

    def _find_data(self, position: int) -> bool:
        """Remember the first range of data that ends behind `position`; return whether there is one."""
        try:
            self._data_start = os.lseek(self.fd, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return False
        self._data_end = os.lseek(self.fd, self._data_start, os.SEEK_HOLE)
        return True


@contextmanager
def open_spool(directory: Path) -> Iterator[Spool]:
    """Open an empty spool on the file system of `directory`."""
    # O_TMPFILE, or where the file system has none (older overlayfs, NFS), a file unlinked at once.
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        yield Spool(file.fileno())
