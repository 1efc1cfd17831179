"""The maps of sparse files (GNU tar manual, "Storing Sparse Files"), checked before libarchive obeys them.

libarchive follows any map: extents may overlap, run backwards or lie beyond the file's end, and when they are
shorter than what is stored it takes the rest of the content for the next header. Here a map must be in order, within
the file, and account for every byte.

What is stored is read on from extent to extent, as by libarchive and Go's archive/tar, and so by all that run images.
GNU tar begins each at a block; to it, extents that are no whole blocks are other content, but none of its own are so.
"""

from __future__ import annotations

from collections.abc import Iterable

from builder.archive.block import number
from builder.archive.pax import SPARSE, decimal
from builder.errors import MalformedTar

Extent = tuple[int, int]


def check_map(extents: Iterable[Extent], size: int, stored: int) -> None:
    """Refuse (offset, length) extents that are not in order, not within `size`, or not `stored` bytes in all."""
    end = total = 0
    for offset, length in extents:
        if offset < end or length < 0 or offset + length > size:
            raise MalformedTar(None, "its sparse map is out of order or out of bounds")
        end = offset + length
        total += length
    if total != stored:
        raise MalformedTar(None, f"its sparse map has {total} bytes of data, the archive {stored}")


def old_extents(block: bytes, start: int, count: int) -> list[Extent]:
    """Read the extents in a GNU header or a block that continues it: a row of up to `count` pairs of numbers."""
    extents = []
    for at in range(start, start + 24 * count, 24):
        if block[at] == 0:
            break
        offset = number(block, at, at + 12, "sparse map")
        extents.append((offset, number(block, at + 12, at + 24, "sparse map")))
    return extents


def pax_map(records: Iterable[tuple[bytes, bytes]]) -> tuple[bytes | None, int, list[Extent] | None]:
    """Read the GNU.sparse records: the file's name, its size, and its map (None: it is in front of the content)."""
    said: dict[bytes, bytes] = {}
    row: list[bytes] = []
    for key, value in records:
        key = key[len(SPARSE) :]
        if key in (b"offset", b"numbytes"):
            # libarchive remembers half a pair of an earlier member unless numblocks comes first.
            if b"numblocks" not in said or key != (b"numbytes" if len(row) % 2 else b"offset"):
                raise MalformedTar(None, "its sparse map is malformed")
            row.append(value)
        elif key in said or key not in (b"name", b"size", b"realsize", b"numblocks", b"map", b"major", b"minor"):
            raise MalformedTar(None, "its sparse records are unknown or repeated")
        elif not value or b"\x00" in value:
            raise MalformedTar(None, "its sparse records are empty or hold a NUL")
        else:
            said[key] = value
    if (b"size" in said) == (b"realsize" in said):
        raise MalformedTar(None, "its sparse records do not say its size, or say it twice")
    size = decimal(b"sparse size", said.get(b"size") or said[b"realsize"])
    if b"major" in said or b"minor" in said:
        alone = not row and b"map" not in said and b"numblocks" not in said
        if (said.get(b"major"), said.get(b"minor")) != (b"1", b"0") or not alone:
            raise MalformedTar(None, "its sparse format is unknown")
        return said.get(b"name"), size, None
    if b"map" in said:
        if row:
            raise MalformedTar(None, "it has two sparse maps")
        row = said[b"map"].split(b",")
    numbers = [decimal(b"sparse map", value) for value in row]
    extents = list(zip(numbers[::2], numbers[1::2], strict=False))
    if len(numbers) % 2 or decimal(b"sparse count", said.get(b"numblocks", b"")) != len(extents):
        raise MalformedTar(None, "its sparse map is not as long as it says")
    return said.get(b"name"), size, extents
