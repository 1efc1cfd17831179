"""What several references into one place have in common, read once for all of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, BinaryIO, Generic, TypeVar

from builder.files.files import Files

T = TypeVar("T")


class Once(Generic[T]):
    """Things by key, each made by the first who asks for it while others wait; what could not be made is made again."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._entries: dict[Hashable, tuple[Lock, list[T]]] = {}

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Give what has this key; raises what `make` raises."""
        with self._lock:
            lock, made = self._entries.setdefault(key, (Lock(), []))
        with lock:
            if not made:
                made.append(make())
            return made[0]

    def all(self) -> list[T]:
        """Give all that was made."""
        # A copy: threads that still ask add to them.
        return [each for _, made in list(self._entries.values()) for each in made]


class Shared:
    """Open places, and what was read in them, for as long as somebody looks at many images; threads may share it."""

    def __init__(self) -> None:
        self._files: Once[Files] = Once()
        self._documents: Once[Any] = Once()

    def files(self, key: Hashable, open: Callable[[], Files]) -> Files:
        """Give the files of a place, opened once; they stay open when who got them closes them."""
        return _Lent(self._files.get(key, open))

    def document(self, key: Hashable, read: Callable[[], T]) -> T:
        """Give what was read from a place, once."""
        document: T = self._documents.get(key, read)
        return document

    def close(self) -> None:
        """Close all places."""
        for files in self._files.all():
            files.close()


class _Lent:
    """Files that somebody else closes."""

    def __init__(self, files: Files) -> None:
        self._files = files

    @property
    def place(self) -> str:
        return self._files.place

    def open(self, path: str) -> BinaryIO | None:
        return self._files.open(path)

    def size(self, path: str) -> int | None:
        return self._files.size(path)

    def inputs(self) -> list[str]:
        return self._files.inputs()

    def close(self) -> None:
        pass
