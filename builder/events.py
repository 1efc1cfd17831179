"""What a build tells its watchers while it runs: plain facts, drawn by cli/ and by nobody else.

Where several builds speak to one watcher, `image` says which of them it is, by the disk that it makes.
"""

from __future__ import annotations

import threading
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
class Step:
    """Work begins that is not worth showing while it lasts; a `Stopwatch` counts what it takes apart from all else."""

    name: str
    image: str | None = None


@dataclass(frozen=True, slots=True)
class Took:
    """A stage or step has ended; `seconds` is what it took by the clock, `bytes` what it went through, if known."""

    name: str
    seconds: float
    bytes: int | None = None
    image: str | None = None


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


Event = Stage | Step | Took | Progress | Notice | End
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


class Stopwatch:
    """Passes on what it hears, and tells besides what each stage took, once it has ended; threads share it.

    A stage or step ends where the next one of the same image begins, where the build of that image ends, or at `stop`.
    Of what fails or is cut short nothing is told: see `fail`. Steps are not passed on.
    """

    def __init__(self, listen: Listener, clock: Callable[[], float] = time.monotonic) -> None:
        self._listen = listen
        self._clock = clock
        self._lock = threading.Lock()
        self._running: dict[str | None, tuple[Stage | Step, float]] = {}

    def __call__(self, event: Event) -> None:
        """Listen to an event."""
        if isinstance(event, Stage | Step):
            self._turn(event.image, event)
        elif isinstance(event, End):
            self._turn(event.image, None)
        if not isinstance(event, Step):
            self._listen(event)

    def stop(self) -> None:
        """End what is going on, and tell what it took."""
        for image in list(self._running):
            self._turn(image, None)

    def fail(self, image: str | None = None) -> None:
        """Forget the stage at which an image failed; without an image, every stage that is going on."""
        with self._lock:
            for failed in list(self._running) if image is None else [image]:
                self._running.pop(failed, None)

    def _turn(self, image: str | None, begun: Stage | Step | None) -> None:
        now = self._clock()
        with self._lock:
            ended = self._running.pop(image, None)
            if begun is not None:
                self._running[image] = begun, now
        if ended is not None:
            stage, began = ended
            size = stage.total if isinstance(stage, Stage) and stage.unit == "bytes" else None
            self._listen(Took(stage.name, round(now - began, 3), size, image))
