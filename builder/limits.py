"""How much an image may make of itself."""

from __future__ import annotations

from dataclasses import dataclass

from builder.errors import UsageError

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
