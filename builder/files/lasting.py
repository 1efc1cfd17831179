"""Directories whose names are on the disk before anything is put into them."""

from __future__ import annotations

import errno
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
        sync_names(fd)


def sync_names(directory: int) -> None:
    """Do the same for the directory that is open as `directory`."""
    try:
        os.fsync(directory)
    except OSError as error:
        # Some file systems sync no directories (fsync(2)), such as folders that VirtualBox shares: nothing has failed.
        if error.errno != errno.EINVAL:
            raise
