"""Image names as Docker writes them: which ones are the same, and how to list them in a message."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import islice

from builder.errors import InvalidReference
from builder.image.name import ImageName

_LISTED = 20


def normalise(name: str) -> str:
    """Write a name in full, as Docker does: `busybox` is `docker.io/library/busybox:latest`; what is none stays."""
    try:
        full = ImageName.parse(name).qualified()
    except InvalidReference:
        return name
    return str(full if full.tag or full.digest else replace(full, tag="latest"))


def same_name(name: str | None, other: str) -> bool:
    """Say whether two names mean the same image; a name that is missing is nobody's."""
    return name is not None and normalise(name) == normalise(other)


def listed(names: Iterable[str]) -> str:
    """Write names for a message, on one line and not without end: they are the image's words."""
    names = iter(names)
    shown = [name if name.isprintable() and len(name) <= 200 else ascii(name[:200]) for name in islice(names, _LISTED)]
    more = sum(1 for _ in names)
    return ", ".join(shown) + (f" and {more} more" if more else "")
