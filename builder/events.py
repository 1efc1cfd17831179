"""What a build tells its watchers while it runs: plain facts, drawn by cli/ and by nobody else.

Where several builds speak to one watcher, `image` says which of them it is, by the disk that it makes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage begins: `name` is a verb phrase such as "reading layer 1 of 3"; `total` is its bytes, if known."""

    name: str
    total: int | None = None
    image: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` bytes of the current stage have passed since it began."""

    done: int
    image: str | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the user should know that is no failure, such as a time that the file system cannot hold."""

    text: str
    image: str | None = None


Event = Stage | Progress | Notice
# Called by whichever thread has something to tell.
Listener = Callable[[Event], None]


def ignore(_event: Event) -> None:
    """Listen to nothing."""
