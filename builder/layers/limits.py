"""How much an image may make of itself, and the running account of one build."""

from __future__ import annotations

from dataclasses import dataclass, field

from builder.archive.entry import Entry
from builder.errors import LimitExceeded, UsageError

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that real images never reach, and that a decompression bomb meets early.

    `max_size` is the bytes of all layers together, unpacked (holes count: a disk format may have to write them);
    `max_entries` the tar members of all layers together; `max_ratio` how many bytes one packed byte may become.
    The ratio is looked at only past `ratio_floor` bytes of a layer: gzip reaches 1030 at most, but a short run
    of zeros under a better algorithm goes further, and does no harm. `max_metadata` is the bytes of all names, link
    targets and extended attributes together: they are held in memory.
    """

    max_size: int = 256 * GIB
    max_entries: int = 4_000_000
    max_ratio: int = 2000
    ratio_floor: int = 8 * GIB
    max_metadata: int = GIB

    def __post_init__(self) -> None:
        for name in ("max_size", "max_entries", "max_ratio"):
            if getattr(self, name) <= 0:
                raise UsageError(f"--{name.replace('_', '-')}: must be more than zero")


@dataclass(slots=True)
class Account:
    """What a build has taken in so far, layer after layer; each method raises LimitExceeded past its limit."""

    limits: Limits
    _content: int = field(default=0)
    _unpacked: int = field(default=0)
    _entries: int = field(default=0)
    _metadata: int = field(default=0)

    def entry(self, layer: str, entry: Entry) -> None:
        """Count a member by what its header announces, before a byte of it is written."""
        self._entries += 1
        self._content += entry.size
        if self._entries > self.limits.max_entries:
            raise LimitExceeded(
                layer,
                None,
                f"more than {self.limits.max_entries} entries; raise --max-entries if you trust it",
            )
        if self._content > self.limits.max_size:
            raise LimitExceeded(layer, entry.path, self._too_large())
        self._metadata += len(entry.path) + len(entry.link)
        if entry.xattrs:
            self._metadata += sum(len(name) + len(value) for name, value in entry.xattrs.items())
        if self._metadata > self.limits.max_metadata:
            raise LimitExceeded(
                layer,
                entry.path,
                f"the names, link targets and extended attributes so far take more than {self.limits.max_metadata} "
                "bytes, which no real image comes near; do not trust it",
            )

    def unpacked(self, layer: str, size: int) -> None:
        """Count `size` more bytes of plain tar."""
        self._unpacked += size
        if self._unpacked > self.limits.max_size:
            raise LimitExceeded(layer, None, self._too_large())

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

    def _too_large(self) -> str:
        return f"the image unpacks to more than {self.limits.max_size} bytes; raise --max-size if you trust it"
