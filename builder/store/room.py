"""Where a store keeps its files: one small interface, so that any place that renames atomically will do.

Paths are relative, with `/` between components. An operation that fails raises StoreError, or StoreDenied where this
user may not do it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol


class Held(Protocol):
    """A file that this process alone writes, for as long as it holds it; a process that dies holds nothing."""

    @property
    def path(self) -> str:
        """Name it, as the room does."""
        ...

    @property
    def size(self) -> int:
        """Count its bytes."""
        ...

    def read(self, start: int, size: int) -> bytes:
        """Read up to `size` bytes from `start` on."""
        ...

    def append(self, data: bytes) -> None:
        """Write at the end: all of it, or raise."""
        ...

    def truncate(self, size: int) -> None:
        """Cut it to `size` bytes."""
        ...

    def sync(self) -> None:
        """Wait until its content is on the disk."""
        ...

    def close(self) -> None:
        """Let go of it; the file stays. May be called again."""
        ...


class Room(Protocol):
    """The files of one store."""

    @property
    def place(self) -> str:
        """Name the place in messages."""
        ...

    def path(self, path: str) -> str | None:
        """Say where a file is on this machine; None where files have no path."""
        ...

    def open(self, path: str) -> BinaryIO | None:
        """Open a file for reading, or return None when there is nothing of that name. The caller closes it."""
        ...

    def stamp(self, path: str) -> tuple[int, ...] | None:
        """Tell one content of a name from the next: a file that was replaced has another stamp; None without one.

        The first number is the size in bytes.
        """
        ...

    def names(self, directory: str) -> list[str]:
        """List what is in a directory, sorted; nothing when it is not there."""
        ...

    def create(self, directory: str, stem: str) -> Held:
        """Make and hold a new file of a unique name, `stem.` and 16 hex digits; directories are made as needed."""
        ...

    def take_over(self, path: str) -> Held | None:
        """Hold a file that nobody holds any more; None when somebody does, or when it is gone."""
        ...

    def discard(self, path: str) -> bool:
        """Remove a file that nobody holds any more; say whether it was removed."""
        ...

    def rename(self, path: str, new: str) -> None:
        """Give a file another name in one step, replacing what had it; directories are made as needed."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file, or an empty directory; what is not there or not empty is left."""
        ...

    def sync(self, directory: str) -> None:
        """Wait until the names in a directory are on the disk."""
        ...

    def lock(self, exclusive: bool) -> AbstractContextManager[None]:
        """Wait for, and hold, the room's one lock: many may share it, or one has it alone."""
        ...

    def close(self) -> None:
        """Release what is held open; files that were opened stay readable."""
        ...
