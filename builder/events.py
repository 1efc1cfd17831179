"""What a build tells its watchers while it runs: plain facts, drawn by cli/ and by nobody else.

Where several builds speak to one watcher, `image` says which of them it is, by the disk that it makes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

_INTERVAL = 0.1


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage begins: `name` is a verb phrase such as "reading layer 1 of 3"; `total` is its size in `unit`, if any."""

    name: str
    total: int | None = None
    image: str | None = None
    unit: str = "bytes"


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of the current stage, in its unit, has passed since it began."""

    done: int
    image: str | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the user should know that is no failure, such as a time that the file system cannot hold."""

    text: str
    image: str | None = None


@dataclass(frozen=True, slots=True)
class End:
    """One of many builds has ended; `status` says how. The builds themselves do not say so."""

    status: str
    image: str | None = None


Event = Stage | Progress | Notice | End
# Called by whichever thread has something to tell.
Listener = Callable[[Event], None]


def ignore(_event: Event) -> None:
    """Listen to nothing."""


class Meter:
    """Tells a listener how far the current stage is, at most ten times a second, however often it is called."""

    def __init__(self, listen: Listener) -> None:
        self._listen = listen
        self._next = 0.0

    def __call__(self, done: int) -> None:
        """Say that `done` of the stage has passed, in its unit."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _INTERVAL
            self._listen(Progress(done))
