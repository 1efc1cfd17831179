"""A position in a real directory tree, held by one descriptor, however deep the tree is.

Paths are not used: they end at PATH_MAX, and a component that somebody exchanges for a symlink redirects them.
One descriptor per level is not used either: a process may have 1,024 of them, and a tree 2,000 levels.
"""

from __future__ import annotations

import os

from builder.files.below import LISTED, open_directory


class Descent:
    """Where a walk through real directories stands: `fd` is the current directory. A context manager."""

    def __init__(self, fd: int) -> None:
        """Start in the directory `fd`, which belongs to the descent from now on."""
        self.fd = fd
        self._above: list[tuple[int, int]] = []

    def __enter__(self) -> Descent:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    def enter(self, name: bytes) -> None:
        """Go down into the directory `name`; raises OSError if it is none, or a symlink."""
        child = open_directory(name, self.fd, LISTED)
        self._above.append(_identity(self.fd))
        os.close(self.fd)
        self.fd = child

    def leave(self) -> int:
        """Go up and return the descriptor of the directory left, which the caller closes.

        Raises OSError if `..` is not where the descent came from: somebody moved the directory meanwhile.
        """
        parent = open_directory(b"..", self.fd, LISTED)
        if _identity(parent) != self._above[-1]:
            os.close(parent)
            raise OSError("a directory was moved away while it was worked on")
        self._above.pop()
        child, self.fd = self.fd, parent
        return child


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino
