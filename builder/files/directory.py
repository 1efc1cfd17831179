"""Files of a real directory, walked component by component so that no symlink leads out of it."""

from __future__ import annotations

import os
import stat
from contextlib import closing
from typing import BinaryIO

from builder.errors import ImageNotFound, UnsafeFile
from builder.files.below import PLACE, NotRegular, open_directory, open_regular, read_link
from builder.files.files import reading, span
from builder.files.links import leads_out, walk

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
                self._root = os.open(path, PLACE)
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
        with reading(where), closing(_Way(self._root, self._real_root, where)) as way:
            try:
                last = walk(path.split("/"), way, where)
                if last is None:
                    raise NotRegular(stat.S_IFDIR)
                return open_regular(last, way.fd)
            except (FileNotFoundError, NotADirectoryError):
                return None
            except NotRegular as error:
                kind = _KINDS.get(stat.S_IFMT(error.mode), "not a file")
                raise UnsafeFile(where, f"is {kind}, where a regular file should be") from error


class _Way:
    """The directories passed on the way to a file, each opened from the one before."""

    def __init__(self, root: int, real_root: str, where: str) -> None:
        self._passed = [os.open(".", PLACE, dir_fd=root)]
        self._real_root = real_root.rstrip("/") + "/"
        self._where = where

    @property
    def fd(self) -> int:
        return self._passed[-1]

    def link(self, name: str) -> str | None:
        return read_link(name, self.fd)

    def enter(self, name: str) -> None:
        self._passed.append(open_directory(name, self.fd))

    def leave(self) -> bool:
        if len(self._passed) == 1:
            return False
        os.close(self._passed.pop())
        return True

    def restart(self, target: str) -> str:
        """Take an absolute target for one from the root, if it is said to be below it."""
        if not target.startswith(self._real_root):
            raise leads_out(self._where)
        while self.leave():
            pass
        return target.removeprefix(self._real_root)

    def close(self) -> None:
        for fd in self._passed:
            os.close(fd)
