"""The image as a file: blocks of 4 KiB, and writes that are complete or fail."""

from __future__ import annotations

import os

BLOCK_SIZE = 4096


def write_at(fd: int, data: bytes | bytearray, position: int) -> None:
    """Write all of `data` at `position`. Raises OSError: a disk that fills up takes the first part of a write."""
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, position)
        view = view[written:]
        position += written
