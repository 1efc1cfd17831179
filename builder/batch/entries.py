"""What a list of images says of each, in whatever form it is written."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from builder.errors import UsageError
from builder.options import OPTIONS

# What a list may say of an image besides the output.
KEYS = {name: entry for name, entry in OPTIONS.items() if "build" in entry.commands}


class InvalidList(UsageError):
    """A list of images that cannot be meant; `place` says where in it, as `line 3` or `[[image]] 2`, or is empty."""

    def __init__(self, name: str, place: str, reason: str) -> None:
        super().__init__(f"{name} {place}: {reason}" if place else f"{name}: {reason}")
        self.place = place
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Entry:
    """What a list says of one image; `number` tells it from others, and `place` is where in the list that stands."""

    number: int
    place: str
    reference: str
    output: str | None
    options: Mapping[str, Any]


def offer(key: str, known: Collection[str]) -> str:
    """Say for a message what may be meant by a `key` that is none: what is much like it, or else any that is known."""
    # No longer than any of them: it may be as long as a list.
    key = key[:40].strip("-").replace("_", "-")
    close = [key] if key in known else get_close_matches(key, known)
    return f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(known)}"
