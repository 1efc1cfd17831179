"""The entries of one layer between the end of its verification and the merge: all of them are in memory at once."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator

from builder.archive.entry import FILE, Entry
from builder.tree.nodes import EMPTY, Content


class Entries:
    """A layer's entries in the order of its archive, and where the content of each file begins in the spool."""

    def __init__(self, members: Iterable[tuple[Entry, Content]] = ()) -> None:
        self._entries: list[Entry] = []
        # Numbers without an object each: with millions of entries that counts.
        self._offsets = array("q")
        for entry, content in members:
            self.append(entry, content)

    def append(self, entry: Entry, content: Content) -> None:
        """Add an entry with its content, which is as long as the entry says; EMPTY for all but files."""
        self._entries.append(entry)
        self._offsets.append(content.offset)

    def extend(self, entries: Iterable[Entry], offsets: Iterable[int]) -> None:
        """Add entries, and where the content of each begins: 0 for all but files that have any."""
        self._entries.extend(entries)
        self._offsets.extend(offsets)

    def move(self, by: int) -> None:
        """Say that the content of each begins so many bytes later in the spool."""
        self._offsets = array("q", (offset + by for offset in self._offsets))

    @property
    def offsets(self) -> array[int]:
        """Where the content of each begins."""
        return self._offsets

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, place: int) -> Entry:
        return self._entries[place]

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def without(self, unwanted: Callable[[Entry], bool]) -> Entries:
        """Return the entries that are wanted; these here if all are."""
        places = [place for place, entry in enumerate(self._entries) if not unwanted(entry)]
        if len(places) == len(self):
            return self
        return Entries((self._entries[place], self._content(self._entries[place], place)) for place in places)

    def take(self) -> Iterator[tuple[Entry, Content]]:
        """Yield each entry with its content, and let go of it: as the tree grows, the entries go."""
        self._entries.reverse()
        for place in range(len(self)):
            entry = self._entries.pop()
            yield entry, self._content(entry, place)
        del self._offsets[:]

    def _content(self, entry: Entry, place: int) -> Content:
        return Content(self._offsets[place], entry.size) if entry.kind is FILE and entry.size else EMPTY
