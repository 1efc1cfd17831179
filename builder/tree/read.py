"""A layer's stream taken in: headers as values, content into the spool as it passes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from builder.archive.entry import FILE, Entry
from builder.tree.entries import Entries
from builder.tree.nodes import EMPTY, Content
from builder.tree.spool import Pieces, Spool


class EntryStream(Protocol):
    """The entries of a layer, once, in the order of its archive."""

    def __iter__(self) -> Iterator[Entry]:
        """Yield each entry; what belongs to it is gone when the next one is asked for."""
        ...

    def content(self) -> Pieces:
        """Yield the current entry's content, without holes; each piece is gone when the next one is asked for."""
        ...


def read_layer(layer: EntryStream, spool: Spool) -> Entries:
    """Read a layer to its end and return what apply_layer wants; every file's content is then in `spool`.

    Raises what the stream raises. Nothing is applied yet, so a layer that fails verification at its end has
    changed nothing but the spool.
    """
    entries = Entries()
    for entry in layer:
        entries.append(entry, spool.add(entry.size, layer.content()) if entry.kind is FILE else EMPTY)
    # Here, so that a full disk is reported while the layer is read.
    spool.settle()
    return entries


def read_headers(layer: EntryStream, number: int) -> Entries:
    """Read a layer to its end for its headers alone: the content of each file is passed over, and kept nowhere.

    In the place of where a content is stands `number`: the tree then says of each file which layer brought it.
    """
    entries = Entries()
    for entry in layer:
        entries.append(entry, Content(number, entry.size))
    return entries
