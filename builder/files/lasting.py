"""Directories whose names are on the disk before anything is put into them."""

from __future__ import annotations

import os

from builder.files.descriptors import opened


def make_lasting(path: str) -> None:
    """Make a directory, by its absolute path, and those above it. Raises OSError."""
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for path in reversed(missing):
        try:
            os.mkdir(path)
        except FileExistsError:
            if not os.path.isdir(path):
                raise
        sync_directory(os.path.dirname(path))


def sync_directory(path: str) -> None:
    """Wait until the names in a directory are on the disk. Raises OSError."""
    with opened(path, os.O_RDONLY | os.O_DIRECTORY) as fd:
        os.fsync(fd)
