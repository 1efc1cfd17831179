"""A layer's stream becomes values and spooled content."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.archive.entry import Entry, Kind
from builder.tree.nodes import EMPTY, Content
from builder.tree.read import read_layer
from builder.tree.spool import open_spool


class Stream:
    """A layer in memory, as strict as a real one: content only of the current entry, only once."""

    def __init__(self, *members: tuple[Entry, bytes], end: Exception | None = None) -> None:
        self.members = members
        self.end = end
        self.current: bytes | None = None

    def __iter__(self) -> Iterator[Entry]:
        for entry, data in self.members:
            self.current = data if entry.kind is Kind.FILE else None
            yield entry
        if self.end:
            raise self.end

    def content(self) -> Iterator[tuple[int, bytes]]:
        assert self.current is not None
        yield 0, self.current
        self.current = None


HEADERS = [
    Entry(b"d/", Kind.DIRECTORY),
    Entry(b"d/f", Kind.FILE, size=5),
    Entry(b"s", Kind.SYMLINK, link=b"d"),
    Entry(b"empty", Kind.FILE),
    Entry(b"l", Kind.HARDLINK, link=b"d/f", size=5),
    Entry(b"g", Kind.FILE, size=3),
]
DATA = [b"", b"12345", b"", b"", b"", b"678"]


def test_entries_come_in_order_and_files_with_their_content(tmp_path: Path) -> None:
    with open_spool(tmp_path) as spool:
        entries = read_layer(Stream(*zip(HEADERS, DATA, strict=True)), spool)
        contents = [EMPTY, Content(0, 5), EMPTY, EMPTY, EMPTY, Content(4096, 3)]
        assert list(entries) == HEADERS
        assert list(entries.without(lambda entry: entry.path == b"d/f")) == HEADERS[:1] + HEADERS[2:]
        taken = list(entries.take())
        assert (taken, len(entries)) == (list(zip(HEADERS, contents, strict=True)), 0)
        assert [os.pread(spool.fd, each.size, each.offset) for _, each in taken] == DATA


def test_what_the_stream_raises_at_its_end_is_raised(tmp_path: Path) -> None:
    with open_spool(tmp_path) as spool, pytest.raises(RuntimeError, match="digest"):
        read_layer(Stream((HEADERS[0], b""), end=RuntimeError("digest")), spool)
