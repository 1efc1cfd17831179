"""Progress on a terminal: one line, which goes away without a trace.

    reading layer 2 of 3  ━━━━━━━━━━━╸━━━━━━━━  120.0/300.0 MiB  95.1 MiB/s  0:02

A thread draws it a few times a second, whatever the build is doing, and not before the build has lasted a moment: what
is done sooner is not worth a look, nor the import of the library that draws.
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from builder.cli.sizes import human_size, human_time
from builder.events import Event, Progress, Stage
from builder.words import legible

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_PATIENCE_SECONDS = 0.3
_INTERVAL_SECONDS = 0.125

# In columns: where there are fewer, how much is done is told without a bar; a line across a wide screen is no line.
_ROOM_FOR_A_BAR = 60
_WIDEST = 120


@dataclass(frozen=True, slots=True)
class Moment:
    """How far a build is: `done` of the stage that has lasted `seconds`."""

    stage: Stage
    done: int
    seconds: float


class Drawing:
    """Draws the current stage over itself (see Display)."""

    def __init__(self) -> None:
        self._stage = Stage("starting")
        self._done = 0
        self._began = time.monotonic()
        self._console: Console | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._draw, daemon=True)
        # Where no more threads are to be had, the build may still do without this one.
        with suppress(RuntimeError):
            self._thread.start()

    def hear(self, event: Event) -> None:
        """Take note of a stage, or of how far it is; of many builds' stages there is no room for each."""
        if event.image is not None:
            return
        if isinstance(event, Stage):
            self._stage, self._done, self._began = event, 0, time.monotonic()
        elif isinstance(event, Progress):
            self._done = event.done

    def write(self, line: str) -> None:
        """Write a line above what is drawn."""
        if self._console is None:
            sys.stderr.write(line + "\n")
        else:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def end(self) -> None:
        """Wipe what is drawn."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _draw(self) -> None:
        if self._ended.wait(_PATIENCE_SECONDS):
            return
        from rich.console import Console
        from rich.live import Live

        console = Console(file=sys.stderr)
        try:
            with Live(console=console, auto_refresh=False, transient=True, get_renderable=self._line) as live:
                self._console = console
                while not self._ended.wait(_INTERVAL_SECONDS):
                    live.refresh()
        finally:
            self._console = None

    def _line(self) -> RenderableType:
        moment = Moment(self._stage, self._done, time.monotonic() - self._began)
        return line(moment, self._console.width if self._console else _WIDEST)


def line(moment: Moment, columns: int) -> RenderableType:
    """Lay out what is known of a moment in one line of a terminal that many columns wide."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    # The last column stays free: a terminal that is made narrower would fold what fills it.
    table = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    table.width = min(columns, _WIDEST) - 1
    cells: list[RenderableType] = [Text(legible(moment.stage.name), no_wrap=True, overflow="ellipsis")]
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    figures = _figures(moment)
    if columns >= _ROOM_FOR_A_BAR:
        width = columns // 8 if columns < _WIDEST else 30
        total = moment.stage.total or None
        cells.append(ProgressBar(total, moment.done, width=width, pulse=total is None, animation_time=moment.seconds))
        table.add_column(width=width)
    else:
        figures = figures[:1]
    for figure in figures:
        cells.append(Text(figure, no_wrap=True))
        table.add_column(no_wrap=True, justify="right", min_width=len(figure))
    table.add_row(*cells)
    return table


def _figures(moment: Moment) -> list[str]:
    """Write the figures of a moment, the most important one first."""
    total, done = moment.stage.total, moment.done
    if not total:
        return [human_time(moment.seconds)]
    figures = [f"{min(done / total, 1):4.0%}"]
    if moment.stage.unit != "bytes":
        return [*figures, f"{done} of {total} {moment.stage.unit}", human_time(moment.seconds)]
    figures.append(f"{human_size(done)} of {human_size(total)}")
    # A rate of the first moments is no rate.
    if done and moment.seconds >= 1:
        rate = done / moment.seconds
        figures += [f"{human_size(rate)}/s", f"{human_time(max(total - done, 0) / rate)} left"]
    return figures
