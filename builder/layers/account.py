"""What a build has taken in so far, held against the limits."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from builder.archive.entry import Entry
from builder.errors import LimitExceeded
from builder.image.image import Image
from builder.limits import Limits

# In bytes: what is said of a member takes little more in its headers, if they are real ones.
_USUAL_HEADERS = 2048


class Taken(NamedTuple):
    """What one layer takes: bytes of content, of plain tar, members, and bytes of names, headers and the like."""

    content: int
    unpacked: int
    entries: int
    metadata: int


@dataclass(slots=True)
class Account:
    """What a build has taken in so far, layer after layer; each method raises LimitExceeded past its limit."""

    limits: Limits
    _content: int = field(default=0)
    _unpacked: int = field(default=0)
    _entries: int = field(default=0)
    _metadata: int = field(default=0)

    @classmethod
    def of(cls, images: Iterable[Image], limits: Limits) -> Self:
        """Begin an account of images, before any layer is fetched: see `packed`."""
        account = cls(limits)
        for image in images:
            for layer in image.layers:
                account.packed(layer.name, layer.descriptor.size)
        return account

    def entry(self, layer: str, entry: Entry, headers_size: int = 0) -> None:
        """Count a member by what its headers, of so many bytes, announce, before a byte of it is written."""
        self._entries += 1
        self._content += entry.size
        said = len(entry.path) + len(entry.link)
        if entry.xattrs:
            said += sum(len(name) + len(value) for name, value in entry.xattrs.items())
        # A MiB of records takes as long to read as a hundred of content, and none of them need be kept.
        self._metadata += max(said, headers_size - _USUAL_HEADERS)
        self._judge(layer, entry.path)

    def unpacked(self, layer: str, size: int) -> None:
        """Count `size` more bytes of plain tar."""
        self._unpacked += size
        if self._unpacked > self.limits.max_size:
            raise LimitExceeded(layer, None, self._too_large())

    def copy(self) -> Self:
        """Count on from here, for what may have to be taken in once more."""
        return copy(self)

    def since(self, before: Account) -> Taken:
        """Say what has been taken in since `before`, a copy."""
        return Taken(*(now - then for now, then in zip(self._taken(), before._taken(), strict=True)))

    def layer(self, layer: str, packed: int, taken: Taken, entries: Iterable[Entry]) -> None:
        """Count a whole layer of which it is known what it takes, as one that is read: a blob of `packed` bytes."""
        self.unpacked(layer, taken.unpacked)
        self.ratio(layer, packed, taken.unpacked)
        content, _, count, metadata = self._taken()
        limits = self.limits
        sums = (content + taken.content, count + taken.entries, metadata + taken.metadata)
        if all(map(int.__le__, sums, (limits.max_size, limits.max_entries, limits.max_metadata))):
            self._content, self._entries, self._metadata = sums
            return
        for entry in entries:
            self.entry(layer, entry)
        # What is past a limit is long headers, or eStargz's own, which are no entries; who reads it counts them, too.
        self._content, self._entries, self._metadata = sums
        self._judge(layer, None)

    def packed(self, layer: str, size: int) -> None:
        """Judge the size, in bytes, that a blob claims to have, before it is fetched: all of it will be read.

        Nothing that unpacks within the limit is packed into more.
        """
        if size > self.limits.max_size:
            reason = f"its blob has {size} bytes, more than the image may unpack to; raise --max-size if you trust it"
            raise LimitExceeded(layer, None, reason)

    def ratio(self, layer: str, packed: int, plain: int) -> None:
        """Compare the bytes of one layer so far, packed and plain."""
        if plain > self.limits.ratio_floor and plain > self.limits.max_ratio * packed:
            raise LimitExceeded(
                layer,
                None,
                f"{packed} bytes unpack to more than {plain}, a ratio over {self.limits.max_ratio}; "
                "raise --max-ratio if you trust it",
            )

    def _judge(self, layer: str, path: bytes | None) -> None:
        """Hold what has come so far, up to the member at `path`, against the limits."""
        if self._entries > self.limits.max_entries:
            raise LimitExceeded(
                layer,
                None,
                f"more than {self.limits.max_entries} entries; raise --max-entries if you trust it",
            )
        if self._content > self.limits.max_size:
            raise LimitExceeded(layer, path, self._too_large())
        if self._metadata > self.limits.max_metadata:
            raise LimitExceeded(
                layer,
                path,
                f"the names, link targets, extended attributes and long headers so far take more than "
                f"{self.limits.max_metadata} bytes, which no real image comes near; do not trust it",
            )

    def _taken(self) -> Taken:
        return Taken(self._content, self._unpacked, self._entries, self._metadata)

    def _too_large(self) -> str:
        return f"the image unpacks to more than {self.limits.max_size} bytes; raise --max-size if you trust it"
