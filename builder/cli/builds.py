"""How far each of many builds is that go on at the same time."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from builder.events import End, Event, Progress, Stage


@dataclass(frozen=True, slots=True)
class Moment:
    """How far a build is: `done` of the stage that has lasted `seconds`."""

    stage: Stage
    done: int
    seconds: float


class Builds:
    """The builds that have begun and not ended, by their disks, in the order in which they began; threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stages: dict[str, tuple[Stage, int, float]] = {}
        self._ended: set[str] = set()

    def hear(self, event: Event, image: str) -> None:
        """Take note of what is said of a build; what still comes when it has ended is late."""
        with self._lock:
            if isinstance(event, End):
                self._ended.add(image)
                self._stages.pop(image, None)
            elif image in self._ended:
                return
            elif isinstance(event, Stage):
                self._stages[image] = (event, 0, time.monotonic())
            elif isinstance(event, Progress) and image in self._stages:
                stage, _, began = self._stages[image]
                self._stages[image] = (stage, event.done, began)

    def moments(self, now: float) -> list[tuple[str, Moment]]:
        """Tell how far each is at a time of the monotonic clock."""
        with self._lock:
            return [
                (image, Moment(stage, done, max(now - began, 0.0)))
                for image, (stage, done, began) in self._stages.items()
            ]
