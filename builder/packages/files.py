"""Files of a disk by their paths, as a process on it would find them: symlinks lead nowhere else."""

from __future__ import annotations

import os
import stat
from itertools import islice

from builder.disk.reading import Reader
from builder.packages.package import PackagesUnreadable
from builder.tree.found import Inode, joined

# Linux follows 40 symlinks in one lookup and then says ELOOP; real paths have a handful of components.
_MAX_SYMLINKS = 40
_MAX_STEPS = 1000
_MAX_NAMES = 1_000_000
# In bytes, of all files: one may have as many names as a directory holds.
_MAX_READ = 1 << 30


class DiskFiles:
    """Reads files through the reader of a disk. All methods raise what that does."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._names: dict[int, dict[bytes, int]] = {}
        self._left = _MAX_READ

    def read(self, path: str, limit: int) -> bytes | None:
        """Read a regular file; None where there is none. Raises PackagesUnreadable for more than `limit` bytes."""
        inode = self._find(path)
        if inode is None or not inode.is_file:
            return None
        if inode.size > limit:
            raise PackagesUnreadable(path, f"has {inode.size} bytes, and more than {limit} are refused")
        self._left -= inode.size
        if self._left < 0:
            raise PackagesUnreadable(path, f"with it, databases have more than {_MAX_READ} bytes, which are refused")
        return joined(inode.data(), inode.size)

    def size(self, path: str) -> int | None:
        """Tell how many bytes a regular file has; None where there is none."""
        inode = self._find(path)
        return inode.size if inode and inode.is_file else None

    def names(self, path: str) -> list[str]:
        """Name what is in a directory, sorted; nothing where there is none."""
        inode = self._find(path)
        if inode is None or not inode.is_directory:
            return []
        return sorted(os.fsdecode(name) for name in self._entries(inode) if name not in (b".", b".."))

    def _find(self, path: str) -> Inode | None:
        """Resolve a path, as path_resolution(7) has it; None for what leads to nothing, or round in circles."""
        directories = [self._reader.inode(self._reader.root)]
        pending = os.fsencode(path).split(b"/")[::-1]
        links = steps = 0
        while pending:
            name = pending.pop()
            steps += 1
            if steps > _MAX_STEPS or not directories[-1].is_directory:
                return None
            if name == b"..":
                # The root is its own parent.
                del directories[max(len(directories) - 1, 1) :]
            if name in (b"", b".", b".."):
                continue
            number = self._entries(directories[-1]).get(name)
            if number is None:
                return None
            inode = self._reader.inode(number)
            if stat.S_ISLNK(inode.mode):
                links += 1
                if links > _MAX_SYMLINKS:
                    return None
                if inode.target.startswith(b"/"):
                    del directories[1:]
                pending += inode.target.split(b"/")[::-1]
            else:
                directories.append(inode)
        return directories[-1]

    def _entries(self, directory: Inode) -> dict[bytes, int]:
        if directory.number not in self._names:
            entries = islice(self._reader.entries(directory), _MAX_NAMES)
            self._names[directory.number] = {entry.name: entry.number for entry in entries}
        return self._names[directory.number]
