"""What is below a directory, opened by its descriptor, one name at a time: never through a symlink, never a device.

So somebody who changes the directory meanwhile gains nothing. Paths of several names are for links.py.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import AnyStr

# Enough to act relative to a directory, even one that may not be listed; and what lists it.
PLACE = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
LISTED = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Without O_NONBLOCK a fifo that takes a file's place would hold us until somebody writes to it.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class NotRegular(Exception):
    """Something is there that is no regular file, of the type that `mode` says."""

    def __init__(self, mode: int) -> None:
        super().__init__(f"no regular file, but of mode {mode:o}")
        self.mode = mode


def open_directory(name: str | bytes, parent: int, flags: int = PLACE) -> int:
    """Open a directory as PLACE or LISTED; raises FileNotFoundError, and NotADirectoryError for a symlink, too."""
    return os.open(name, flags | os.O_NOFOLLOW, dir_fd=parent)


def open_regular(name: str | bytes, parent: int) -> int:
    """Open a regular file for reading; raises NotRegular for a symlink, a device and the like, and OSError."""
    # Looked at first: opening a device can already do something, such as rewinding a tape.
    _check(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    fd = os.open(name, _FILE, dir_fd=parent)
    try:
        _check(os.fstat(fd).st_mode)
    except BaseException:
        os.close(fd)
        raise
    return fd


def read_link(name: AnyStr, parent: int) -> AnyStr | None:
    """Read a symlink; None for anything else. Raises FileNotFoundError."""
    try:
        return os.readlink(name, dir_fd=parent)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return None


def _check(mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise NotRegular(mode)
