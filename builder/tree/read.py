"""A layer's stream taken in: headers as values, content into the spool as it passes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from builder.archive.entry import Entry, Kind
from builder.tree.entries import Entries
from builder.tree.nodes import EMPTY, Content
from builder.tree.spool import Spool


class EntryStream(Protocol):
    """The entries of a layer, once, in the order of its archive."""

    def __iter__(self) -> Iterator[Entry]:
        """Yield each entry; what belongs to it is gone when the next one is asked for."""
        ...

    def read_content_into(self, fd: int) -> None:
        """Write the current entry's content at the descriptor's position, leaving out holes."""
        ...


def read_layer(layer: EntryStream, spool: Spool) -> Entries:
    """Read a layer to its end and return what apply_layer wants; every file's content is then in `spool`.

    Raises what the stream raises. Nothing is applied yet, so a layer that fails verification at its end has
    changed nothing but the spool.
    """
    entries = Entries()
    for entry in layer:
        entries.append(entry, spool.add(entry.size, layer.read_content_into) if entry.kind is Kind.FILE else EMPTY)
    return entries


def read_headers(layer: EntryStream, number: int) -> Entries:
    """Read a layer to its end for its headers alone: the content of each file is passed over, and kept nowhere.

    In the place of where a content is stands `number`: the tree then says of each file which layer brought it.
    """
    entries = Entries()
    for entry in layer:
        entries.append(entry, Content(number, entry.size))
    return entries
