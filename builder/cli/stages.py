"""Progress as lines: one for each stage, and a sign of life while one takes long."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Protocol

from builder.events import Event, Stage, Took
from builder.sizes import human_size
from builder.words import legible

# CI services take what is silent for dead, some after minutes; people do much earlier.
HEARTBEAT_SECONDS = 15.0


def of_image(event: Event, text: str) -> str:
    """Begin a text with the image that the event is about, where there are many."""
    return text if event.image is None else f"{event.image}: {text}"


def json_line(facts: dict[str, object]) -> str:
    """Write an event as JSON, with the time, in UTC as RFC 3339 has it, and the image that it is about, if any."""
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03}Z"
    shown = {key: legible(value) if isinstance(value, str) else value for key, value in facts.items()}
    return json.dumps({"time": stamp, **shown, "image": shown.get("image")})


def event_line(event: Event, image: str | None) -> str:
    """Write an event as JSON: its kind, in lower case, its own words, and the image, where it says none itself."""
    return json_line({"event": type(event).__name__.lower(), **asdict(event), "image": event.image or image})


def took(event: Took) -> str:
    """Write for people what a stage took: seconds first, one below the other."""
    size = f", {human_size(event.bytes)}" if event.bytes else ""
    return legible(f"took {event.seconds:7.2f} s: {of_image(event, event.name)}{size}")


class Display(Protocol):
    """A way to show progress on standard error.

    `shows_each` says that of many builds it shows how far each is, without being asked to.
    """

    shows_each: bool

    def hear(self, event: Event) -> None:
        """Show that a stage begins, or how far it is; notices go through `write`."""

    def write(self, line: str) -> None:
        """Write a line that stays, beside what is shown."""

    def end(self) -> None:
        """Show no more, and take away what does not stay."""


class Nothing:
    """No progress; lines that stay are written all the same."""

    shows_each = False

    def hear(self, event: Event) -> None:
        """Ignore it."""

    def write(self, line: str) -> None:
        """Write a line at once."""
        sys.stderr.write(line + "\n")

    def end(self) -> None:
        """Do nothing."""


class Plain(Nothing):
    """A line for each stage; while one lasts, a line every so many seconds."""

    def __init__(self, interval: float = HEARTBEAT_SECONDS) -> None:
        self._heart = Heart(interval, lambda stage, seconds: self.write(f"still {stage}, {seconds:.0f} s"))

    def hear(self, event: Event) -> None:
        """Write a line where a stage begins."""
        if isinstance(event, Stage):
            size = f", {human_size(event.total)}" if event.total and event.unit == "bytes" else ""
            self.write(legible(of_image(event, f"{event.name}{size}")))
            self._heart.begin(event)

    def end(self) -> None:
        """Write no more."""
        self._heart.stop()


class JsonLines(Nothing):
    """Every event as a JSON object, and signs of life; all are about `image`, but for those that say another."""

    def __init__(self, interval: float = HEARTBEAT_SECONDS, image: str | None = None) -> None:
        self._image = image
        self._heart = Heart(interval, lambda stage, seconds: self._put("heartbeat", name=stage, seconds=round(seconds)))

    def hear(self, event: Event) -> None:
        """Write the event."""
        self.write(event_line(event, self._image))
        if isinstance(event, Stage):
            self._heart.begin(event)

    def end(self) -> None:
        """Write no more."""
        self._heart.stop()

    def _put(self, event: str, **facts: object) -> None:
        self.write(json_line({"event": event, "image": self._image, **facts}))


class Heart:
    """A thread that calls `beat(stage, seconds)` whenever a stage has gone on for `interval` seconds more."""

    def __init__(self, interval: float, beat: Callable[[str, float], None]) -> None:
        self._interval = interval
        self._beat = beat
        self._stage: str | None = None
        self._changed = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def begin(self, stage: Stage) -> None:
        """Count from now on for this stage, unless it is one of many builds': then all of them are what goes on."""
        if stage.image is not None:
            return
        self._stage = legible(stage.name)
        self._changed.set()
        if self._thread.ident is None:
            # Where no more threads are to be had, the build may still do without this one.
            with suppress(RuntimeError):
                self._thread.start()

    def stop(self) -> None:
        """Beat no more."""
        self._stage = None
        self._changed.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        began = time.monotonic()
        while (stage := self._stage) is not None:
            if self._changed.wait(self._interval):
                self._changed.clear()
                began = time.monotonic()
            else:
                self._beat(stage, time.monotonic() - began)
