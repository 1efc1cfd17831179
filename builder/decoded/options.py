"""What the user says about decoded layers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from builder.form import DIRECTORY, SIZE, SWITCH
from builder.option import Group, option

CACHE_VARIABLE = "ROOTFS_BUILDER_CACHE"
_CACHE = Group("Decoded layers", frozenset({"build", "batch", "unpack", "inspect"}))


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """Where decoded layers are kept, by default in the user's own cache; whether; and how many bytes at most."""

    place: Path | None = option(
        None,
        DIRECTORY,
        _CACHE,
        "Where decoded layers are kept for other images and builds; by default the user's cache.",
        name="cache",
        variable=CACHE_VARIABLE,
    )
    keep: bool = option(True, SWITCH, _CACHE, "Neither keep decoded layers nor use those kept.", name="no-cache")
    size: int = option(
        10 << 30, SIZE, _CACHE, "Keep no more than this; what was used longest ago goes first.", name="cache-size"
    )
