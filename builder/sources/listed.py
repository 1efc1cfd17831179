"""Names that could be asked for instead, written for a message."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from builder.words import legible

_LISTED = 20


def listed(names: Iterable[str]) -> str:
    """Write names for a message, on one line and not without end: they are the image's words."""
    names = iter(names)
    shown = [legible(name, 200) for name in islice(names, _LISTED)]
    more = sum(1 for _ in names)
    return ", ".join(shown) + (f" and {more} more" if more else "")
