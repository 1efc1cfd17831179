"""The directory that a layer was unpacked into, and its files by the names that the layer's tar gives them."""

from __future__ import annotations

import os
from contextlib import closing

from builder.containers_storage.handles import Handle
from builder.errors import MalformedArchive, UnsafeFile
from builder.files.below import read_link
from builder.files.links import walk
from builder.words import quoted

# The longest path and name that the kernel takes, in bytes.
_MAX_PATH = 4096
_MAX_NAME = 255
# Tars come directory by directory, so few need to be kept open.
_KEPT = 32

Path = tuple[bytes, ...]


class Unpacked:
    """Files below one directory, found without leaving it; takes over its handle.

    A symlink in a parent position is resolved inside the directory, as it was when the layer was unpacked there.
    """

    def __init__(self, root: Handle) -> None:
        self.root = root
        self._known: dict[Path, Handle] = {}
        # Those of them whose path has no symlink in it.
        self._plain: set[Path] = set()

    def open(self, name: bytes) -> int:
        """Open a regular file and return its descriptor.

        Raises MalformedArchive where it is not there, UnsafeFile for what is no file and for a name that leads out.
        """
        path = self._clean(name)
        parent = self.directory(path[:-1])
        fd = None if parent is None else parent.file(path[-1])
        if fd is None:
            raise MalformedArchive(self._where(name), "the file is missing; pull or build the image again")
        return fd

    def directory(self, path: Path) -> Handle | None:
        """Find a directory by its path, which stays open for a while; None where there is none."""
        if not path:
            return self.root
        handle = self._known.pop(path, None) or self._walk(path)
        if handle is None:
            return None
        self._known[path] = handle
        if len(self._known) > _KEPT:
            oldest = next(iter(self._known))
            self._known.pop(oldest).close()
            self._plain.discard(oldest)
        return handle

    def close(self) -> None:
        """Close all directories."""
        for handle in (self.root, *self._known.values()):
            handle.close()
        self._known.clear()

    def _walk(self, path: Path) -> Handle | None:
        """Go to a directory from the nearest one that is open."""
        start = next((depth for depth in range(len(path) - 1, 0, -1) if path[:depth] in self._plain), 0)
        with closing(_Way(self.root, path[:start], self._known.get(path[:start], self.root))) as way:
            try:
                last = walk(path[start:], way, self.root.where)
                if last is not None:
                    way.enter(last)
            except FileNotFoundError:
                return None
            if way.is_plain:
                self._plain.add(path)
            return way.take()

    def _clean(self, name: bytes) -> Path:
        """Take a name apart as the store did when it unpacked it: `a/../b` is `b` whatever a is."""
        path: list[bytes] = []
        for part in name.split(b"/") if len(name) < _MAX_PATH and b"\0" not in name else ():
            if part == b"..":
                if not path:
                    raise UnsafeFile(self._where(name), "leads out of the layer")
                path.pop()
            elif part not in (b"", b"."):
                path.append(part)
        if not path or max(map(len, path)) > _MAX_NAME:
            raise UnsafeFile(self._where(name), "is no name of a file")
        return tuple(path)

    def _where(self, name: bytes) -> str:
        return f"{self.root.where}, entry {quoted(name)}"


class _Way:
    """Where a walk through the layer stands: in one directory, which it closes unless it was open before."""

    def __init__(self, root: Handle, passed: Path, at: Handle) -> None:
        self._root = root
        # Directories and no symlinks, so these names lead here from the root, too.
        self._passed = list(passed)
        self._at = at
        self._given = {id(root), id(at)}
        self.is_plain = True

    def link(self, name: bytes) -> bytes | None:
        try:
            target = read_link(name, self._at.fd)
        except OSError:
            return None  # the next step fails at it
        self.is_plain = self.is_plain and target is None
        return target

    def enter(self, name: bytes) -> None:
        below = self._at.directory(name)
        if below is None:
            raise FileNotFoundError
        self._passed.append(name)
        self.close()
        self._at = below

    def leave(self) -> bool:
        # The root is its own parent: nothing leads out of the layer.
        self._start_over(self._passed[:-1])
        return True

    def restart(self, target: bytes) -> bytes:
        self._start_over([])
        return target

    def take(self) -> Handle:
        """Give the directory away."""
        return Handle(os.dup(self._at.fd), self._at.where)

    def close(self) -> None:
        if id(self._at) not in self._given:
            self._at.close()

    def _start_over(self, names: list[bytes]) -> None:
        self.close()
        self._at, self._passed = self._root, []
        for name in names:
            self.enter(name)
