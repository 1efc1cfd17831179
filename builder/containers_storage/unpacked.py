"""The directory that a layer was unpacked into, and its files by the names that the layer's tar gives them."""

from __future__ import annotations

import os
from collections import deque

from builder.errors import MalformedArchive, UnsafeFile
from builder.files.handles import Handle
from builder.words import quoted

# As many symlinks as the kernel follows in one path (path_resolution(7)), and the longest path and name it takes, in
# bytes.
_MAX_SYMLINKS = 40
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
        # Those of the known ones that were reached without a symlink.
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
        at = self._known[path[:start]] if start else self.root
        # What was passed are directories, so those names lead there from the top, too.
        passed, pending, links = list(path[:start]), deque(path[start:]), 0
        try:
            while pending:
                name = pending.popleft()
                target = None if name == b".." else _link(at, name)
                if target is None and name != b"..":
                    below = at.directory(name)
                    if below is None:
                        return None
                    passed.append(name)
                    self._leave(at)
                    at = below
                    continue
                links += target is not None
                if links > _MAX_SYMLINKS:
                    raise UnsafeFile(self.root.where, f"more than {_MAX_SYMLINKS} symlinks follow each other")
                above = passed[:-1] if target is None else [] if target.startswith(b"/") else passed
                parts = [part for part in (target or b"").split(b"/") if part not in (b"", b".")]
                pending.extendleft(reversed([*above, *parts]))
                self._leave(at)
                at, passed = self.root, []
            if not links:
                self._plain.add(path)
            found = Handle(os.dup(at.fd), at.where) if at is self.root else at
            at = self.root
            return found
        finally:
            self._leave(at)

    def _leave(self, handle: Handle) -> None:
        if handle is not self.root and not any(handle is known for known in self._known.values()):
            handle.close()

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


def _link(parent: Handle, name: bytes) -> bytes | None:
    """Read a symlink; None for anything else, and for what the next step fails at."""
    try:
        return os.readlink(name, dir_fd=parent.fd)
    except OSError:
        return None
