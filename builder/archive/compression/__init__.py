"""The compressions of layers and archives: one file each, and a line in this table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from builder.archive.compression import bzip2, gzip, none, xz, zstd


class Compression(Protocol):
    """What each module of this package is."""

    NAME: str

    def matches(self, head: bytes) -> bool:
        """Tell whether a stream that starts with `head` (512 bytes say enough) is of this kind."""
        ...

    def decompress(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield what `chunks` holds, in chunks of less than 2 MiB; raises CorruptStream, at the end at the latest."""
        ...


COMPRESSIONS: Mapping[str, Compression] = {module.NAME: module for module in (none, gzip, zstd, bzip2, xz)}


def detect(head: bytes) -> str:
    """Name the compression of a stream by its first 512 bytes: "none" for a plain tar and for anything unknown."""
    # The name of a tar's first entry may begin like a compressed stream, so a tar is looked for first.
    return next((name for name, module in COMPRESSIONS.items() if module.matches(head)), none.NAME)
