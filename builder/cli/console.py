"""Everything the command says: answers on standard output; on standard error progress, notices and failures."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from dataclasses import asdict
from threading import Lock

from builder.errors import OutputError
from builder.events import Event, Listener, Notice, Progress, Stage, ignore
from builder.words import legible

_PROGRESS_SECONDS = 0.1
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_WIPE = "\r\x1b[K"


class Console:
    """How much to say and in which form, as the options before the sub-command ask."""

    def __init__(self, *, quiet: bool = False, verbose: bool = False, json_lines: bool = False) -> None:
        self._quiet = quiet
        self._verbose = verbose
        self._json_lines = json_lines
        self._drawing: _Drawing | None = None

    def listener(self, progress: str) -> Listener:
        """Make the listener for `--progress auto|plain|json|none`."""
        if progress == "auto":
            if self._quiet:
                progress = "none"
            elif self._json_lines:
                progress = "json"
            elif sys.stderr.isatty():
                self._drawing = _Drawing()
        draw = {"none": ignore, "json": _sparingly(_print_event)}.get(progress, self._plain)
        if self._drawing:
            draw = _sparingly(self._drawing.listen)

        lock = Lock()

        def listen(event: Event) -> None:
            # What is fetched in the background has something to say, too, at times.
            with lock:
                if isinstance(event, Notice):
                    self.notice(_of_image(event, event.text))
                else:
                    draw(event)

        return listen

    def say(self, text: str) -> None:
        """Say how something ended, unless asked to be quiet."""
        if not self._quiet:
            self._write("info", text)

    def notice(self, text: str) -> None:
        """Say what the user should know though nothing failed, unless asked to be quiet."""
        if not self._quiet:
            self._write("notice", text)

    def fail(self, error: BaseException) -> None:
        """Say in one line what went wrong; with -v, also what caused it, one line per cause."""
        self._write("error", str(error))
        cause = error.__cause__
        while self._verbose and cause is not None:
            self._write("cause", f"{type(cause).__name__}: {cause}")
            cause = cause.__cause__

    def answer(self, text: bytes) -> None:
        """Write what was asked for to standard output, as it is, and a newline. Raises OutputError."""
        self.end()
        try:
            sys.stdout.buffer.write(text + b"\n")
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise  # click ends quietly, as programs do whose reader has gone
        except OSError as error:
            # What is buffered is written once more at exit, and must not fail there again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise OutputError("standard output", f"{error.strerror}; send it elsewhere") from error

    def end(self) -> None:
        """Wipe what is drawn, so that whatever comes next has the line for itself."""
        if self._drawing:
            self._drawing.wipe()

    def _plain(self, event: Event) -> None:
        if isinstance(event, Stage):
            size = "" if event.total is None else f", {human_size(event.total)}"
            self._write("info", _of_image(event, f"{event.name}{size}"))

    def _write(self, level: str, text: str) -> None:
        self.end()
        line = legible(text)
        if self._json_lines:
            line = json.dumps({"level": level, "message": line})
        elif level != "info":
            line = f"rootfs-builder: {level}: {line}"
        print(line, file=sys.stderr, flush=True)


class _Drawing:
    """One line of a terminal, drawn over itself."""

    def __init__(self) -> None:
        self._stage = Stage("starting")

    def listen(self, event: Event) -> None:
        if isinstance(event, Stage):
            self._stage = event
            self._draw(0)
        elif isinstance(event, Progress):
            self._draw(event.done)

    def wipe(self) -> None:
        print(_WIPE, end="", file=sys.stderr, flush=True)

    def _draw(self, done: int) -> None:
        line = legible(self._stage.name)
        if self._stage.total:
            line += f"  {min(done / self._stage.total, 1):4.0%} of {human_size(self._stage.total)}"
        print(_WIPE + line[: shutil.get_terminal_size().columns - 1], end="", file=sys.stderr, flush=True)


def _sparingly(listen: Listener) -> Listener:
    """Pass on progress a few times a second, and everything else: some images have a file every millisecond."""
    passed_at = 0.0

    def pass_on(event: Event) -> None:
        nonlocal passed_at
        if isinstance(event, Progress):
            if time.monotonic() - passed_at < _PROGRESS_SECONDS:
                return
            passed_at = time.monotonic()
        listen(event)

    return pass_on


def _print_event(event: Event) -> None:
    facts = {name: value for name, value in asdict(event).items() if name != "image" or value is not None}
    print(json.dumps({"event": type(event).__name__.lower(), **facts}), file=sys.stderr, flush=True)


def _of_image(event: Event, text: str) -> str:
    return text if event.image is None else f"{event.image}: {text}"


def human_size(size: float) -> str:
    """Write a size in bytes for people: `812 B`, `1.5 MiB`."""
    unit = 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size /= 1024
        unit += 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 else f"{size:.1f} {_UNITS[unit]}"
