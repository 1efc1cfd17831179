"""One anonymous file that holds the content of every file of the tree, written once, in the order it arrives."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from builder.tree.nodes import EMPTY, Content

# Content starts on a page boundary: holes stay holes, and a file system with reflinks can share the blocks.
ALIGNMENT = 4096


class Spool:
    """Content by offset, in a file without a name: whatever ends the process, nothing of it stays behind."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._end = 0

    def add(self, size: int, write: Callable[[int], None]) -> Content:
        """Store `size` bytes that `write(fd)` puts at the descriptor's current position, leaving out holes."""
        if size == 0:
            return EMPTY
        offset = self._end
        os.lseek(self.fd, offset, os.SEEK_SET)
        write(self.fd)
        self._end = offset + -(-size // ALIGNMENT) * ALIGNMENT
        # The tail of a sparse file may be a hole, and a hole at the end is not written by anybody.
        os.ftruncate(self.fd, self._end)
        return Content(offset, size)

    def data(self, content: Content) -> Iterator[tuple[int, int]]:
        """Yield (position in the spool, length) of each stretch of `content` that is not a hole, in order."""
        position, end = content.offset, content.offset + content.size
        while position < end:
            try:
                start = os.lseek(self.fd, position, os.SEEK_DATA)
            except OSError:  # ENXIO: only holes are left
                return
            if start >= end:
                return
            position = min(os.lseek(self.fd, start, os.SEEK_HOLE), end)
            yield start, position - start


@contextmanager
def open_spool(directory: Path) -> Iterator[Spool]:
    """Open an empty spool on the file system of `directory`."""
    fd = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        yield Spool(fd)
    finally:
        os.close(fd)
