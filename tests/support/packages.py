"""Databases of packages for tests: the files of a disk in memory, and rpm's headers as rpm's own code writes them."""

from __future__ import annotations

import sqlite3
import stat
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

from builder.disk.reading import Entry
from builder.tree.found import Inode

# A file's content, or the target of a symlink.
Content = bytes | str


class MemoryDisk:
    """What the reader of a disk gives, of files by their paths (`etc/hosts`); a text is the target of a symlink."""

    root = 0

    def __init__(self, files: Mapping[str, Content]) -> None:
        self._inodes = [Inode(0, stat.S_IFDIR | 0o755, 2, 0, 0, 0)]
        self._entries: dict[int, dict[bytes, int]] = {0: {}}
        for path, content in files.items():
            *parents, name = path.encode().split(b"/")
            directory = 0
            for parent in parents:
                directory = self._entries[directory].get(parent) or self._add(directory, parent, None)
            self._add(directory, name, content)

    def _add(self, directory: int, name: bytes, content: Content | None) -> int:
        number = len(self._inodes)
        self._entries[directory][name] = number
        if content is None:
            self._entries[number] = {}
            self._inodes.append(Inode(number, stat.S_IFDIR | 0o755, 2, 0, 0, 0))
        elif isinstance(content, str):
            self._inodes.append(Inode(number, stat.S_IFLNK | 0o777, 1, 0, 0, 0, target=content.encode()))
        else:
            data = content
            size = len(data)
            self._inodes.append(
                Inode(number, stat.S_IFREG | 0o644, 1, 0, 0, 0, size=size, data=lambda: iter([(0, data)]))
            )
        return number

    def inode(self, number: int) -> Inode:
        return self._inodes[number]

    def entries(self, directory: Inode) -> Iterator[Entry]:
        yield Entry(b".", directory.number)
        yield from (Entry(name, number) for name, number in self._entries[directory.number].items())

    def holds(self, mtime_ns: int) -> int:
        return mtime_ns

    def is_own(self, path: bytes, inode: Inode) -> bool:
        return False


def rpm_header(tags: Mapping[int, str | int]) -> bytes:
    """A header: texts as STRING (6), numbers as INT32 (4)."""
    index, store = b"", b""
    for tag, value in tags.items():
        store += b"" if isinstance(value, str) else b"\0" * (-len(store) % 4)
        index += struct.pack(">IIII", tag, 6 if isinstance(value, str) else 4, len(store), 1)
        store += value.encode() + b"\0" if isinstance(value, str) else struct.pack(">I", value)
    return struct.pack(">II", len(tags), len(store)) + index + store


PACKAGES = "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob)"


def rpm_database(path: Path, *blobs: object, schema: str = PACKAGES) -> bytes:
    """The bytes of a database with these headers, as rpm makes it: with a write-ahead log that is empty."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(schema)
    for blob in blobs:
        connection.execute("INSERT INTO Packages (blob) VALUES (?)", (blob,))
    connection.close()
    return path.read_bytes()
