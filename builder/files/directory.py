"""Files of a real directory, walked component by component so that no symlink leads out of it.

Every component is opened relative to the one before it and never through a symlink: symlinks are read and
resolved here. So somebody who changes the directory meanwhile gains nothing.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from typing import BinaryIO

from builder.errors import ImageNotFound, UnsafeFile
from builder.files.files import MAX_SYMLINKS, leads_out, reading, span, too_many_links

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
# Without O_NONBLOCK a fifo that takes a file's place would hold the build until somebody writes to it.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFIFO: "a fifo",
    stat.S_IFSOCK: "a socket",
}


class DirectoryFiles:
    """The files below one directory; the directory itself may be named through symlinks."""

    def __init__(self, path: str) -> None:
        """Open the directory at `path`; raises ImageNotFound."""
        self.place = path
        self._opened: dict[str, None] = {}
        with reading(path):
            try:
                self._root = os.open(path, _DIRECTORY)
            except (FileNotFoundError, NotADirectoryError) as error:
                raise ImageNotFound(path, "there is no such directory; check the path") from error
        self._real_root = os.path.realpath(path)

    def open(self, path: str) -> BinaryIO | None:
        """Open a file for reading; None when there is nothing of that name."""
        fd = self._open(path)
        if fd is None:
            return None
        where = self._where(path)
        self._opened[where] = None
        return span(fd, where)

    def size(self, path: str) -> int | None:
        """Return a file's size in bytes; None when there is nothing of that name."""
        fd = self._open(path)
        if fd is None:
            return None
        try:
            return os.fstat(fd).st_size
        finally:
            os.close(fd)

    def inputs(self) -> list[str]:
        """Name the files that were opened so far."""
        return list(self._opened)

    def close(self) -> None:
        """Close the directory."""
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    def _where(self, path: str) -> str:
        return os.path.join(self.place, path)

    def _open(self, path: str) -> int | None:
        where = self._where(path)
        parents: list[int] = []
        with reading(where):
            try:
                parents.append(os.open(".", _DIRECTORY, dir_fd=self._root))
                return self._walk(path, where, parents)
            except (FileNotFoundError, NotADirectoryError):
                return None
            finally:
                for fd in parents:
                    os.close(fd)

    def _walk(self, path: str, where: str, parents: list[int]) -> int:
        """Open the file at `path`; `parents` are the directories passed on the way, for the caller to close."""
        pending = deque(path.split("/"))
        links = 0
        while pending:
            name = pending.popleft()
            if name in ("", "."):
                continue
            if name == "..":
                if len(parents) == 1:
                    raise leads_out(where)
                os.close(parents.pop())
                continue
            mode = os.stat(name, dir_fd=parents[-1], follow_symlinks=False).st_mode
            if stat.S_ISLNK(mode):
                links += 1
                if links > MAX_SYMLINKS:
                    raise too_many_links(where)
                target = os.readlink(name, dir_fd=parents[-1])
                if target.startswith("/"):
                    target = self._below_root(target, where)
                    while len(parents) > 1:
                        os.close(parents.pop())
                pending.extendleft(reversed(target.split("/")))
            elif pending:
                parents.append(os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=parents[-1]))
            else:
                return _open_regular(name, parents[-1], mode, where)
        raise _not_a_file(where, stat.S_IFDIR)

    def _below_root(self, target: str, where: str) -> str:
        """Make an absolute symlink target relative to the root, if it is said to be below it."""
        prefix = self._real_root.rstrip("/") + "/"
        if not target.startswith(prefix):
            raise leads_out(where)
        return target[len(prefix) :]


def _open_regular(name: str, parent: int, mode: int, where: str) -> int:
    # Looked at first: opening a device can already do something, such as rewinding a tape.
    if not stat.S_ISREG(mode):
        raise _not_a_file(where, mode)
    fd = os.open(name, _FILE, dir_fd=parent)
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode):
        os.close(fd)
        raise _not_a_file(where, mode)
    return fd


def _not_a_file(where: str, mode: int) -> UnsafeFile:
    return UnsafeFile(where, f"is {_KINDS.get(stat.S_IFMT(mode), 'not a file')}, where a regular file should be")
