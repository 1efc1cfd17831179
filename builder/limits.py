"""How much an image may unpack to."""

from __future__ import annotations

from dataclasses import dataclass

from builder.errors import UsageError
from builder.form import COUNT, SIZE
from builder.option import IMAGE, option

GIB = 1 << 30
_MAX_RATIO = 2000


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that real images never reach, and that a decompression bomb meets early.

    `max_size` is the bytes of all layers together, unpacked (holes count: a disk format may have to write them);
    `max_entries` the tar members of all layers together; `max_ratio` how many bytes one packed byte may become.
    `max_metadata` is the bytes of all names, link targets and extended attributes together, which are held in memory,
    and of what else is in long headers. Text in the place of the first three is read as on the command line.
    """

    max_size: int = option(256 * GIB, SIZE, IMAGE, "Refuse an image that unpacks to more.")
    max_entries: int = option(4_000_000, COUNT, IMAGE, "Refuse an image of more entries.")
    max_ratio: int = option(
        _MAX_RATIO, COUNT, IMAGE, "Refuse a layer that unpacks to more than so many times its size."
    )
    max_metadata: int = GIB // 4

    def __post_init__(self) -> None:
        for name, form in (("max_size", SIZE), ("max_entries", COUNT), ("max_ratio", COUNT)):
            value = getattr(self, name)
            # Text is read here and not by BuildOptions, because limits are passed alone, too.
            if isinstance(value, str):
                value = form.parse(value)
                object.__setattr__(self, name, value)
            if value <= 0:
                raise UsageError(f"--{name.replace('_', '-')}: must be more than zero")

    @property
    def ratio_floor(self) -> int:
        """How many bytes a layer may unpack to before its ratio counts.

        gzip reaches 1030 at most, but a short run of zeros under a better algorithm goes further, and does no harm.
        """
        # A limit below the default is meant for layers of every size.
        return 8 * GIB if self.max_ratio >= _MAX_RATIO else 1 << 20
