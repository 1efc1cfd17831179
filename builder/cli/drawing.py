"""Progress on a terminal: one line, which goes away without a trace.

    reading layer 2 of 3  ━━━━━━━━━━━╸━━━━━━━━  120.0/300.0 MiB  95.1 MiB/s  0:02

A thread draws it a few times a second, whatever the build is doing, and not before the build has lasted a moment: what
is done sooner is not worth a look, nor the import of the library that draws.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import PurePath
from typing import TYPE_CHECKING

from builder.cli.builds import Builds, Moment
from builder.events import Event, Progress, Stage
from builder.sizes import human_size, human_time
from builder.words import legible

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_PATIENCE_SECONDS = 0.3
_INTERVAL_SECONDS = 0.125

# In columns of the terminal: what there is room for; and a line across a wide screen is no line.
_ROOM_FOR_A_BAR = 56
_ROOM_FOR_A_RATE = 72
_WIDEST = 120

# In columns of the terminal: so wide that nothing moves when a figure gets longer.
_AMOUNT = len("100.0/300.0 MiB")
_RATE = len("1023.9 MiB/s")
_TIME = len("1:00:00")


class Drawing:
    """Draws the current stage over itself, and below those of many builds how far all are (see Display)."""

    shows_each = True

    def __init__(self) -> None:
        self._builds = Builds()
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
        """Take note of a stage, or of how far it is."""
        if event.image is not None:
            self._builds.hear(event, event.image)
        elif isinstance(event, Stage):
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
            with Live(console=console, auto_refresh=False, transient=True, get_renderable=self._lines) as live:
                self._console = console
                while not self._ended.wait(_INTERVAL_SECONDS):
                    live.refresh()
        finally:
            self._console = None

    def _lines(self) -> RenderableType:
        from rich.console import Group

        now = time.monotonic()
        columns, rows = (self._console.width, self._console.height) if self._console else (_WIDEST, 1)
        overall = line(Moment(self._stage, self._done, now - self._began), columns)
        # The last line of a terminal is where its cursor comes to stand.
        return Group(*builds(self._builds.moments(now), columns, rows - 2), overall)


def line(moment: Moment, columns: int) -> RenderableType:
    """Lay out what is known of a moment in one line of a terminal that many columns wide."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    # The last column stays free: a terminal that is made narrower would fold what fills it.
    table = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    table.width = min(columns, _WIDEST) - 1
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    cells: list[RenderableType] = [Text(legible(moment.stage.name))]
    total, seconds = moment.stage.total or None, moment.seconds
    figures = [(_share(moment), 4)]
    if columns >= _ROOM_FOR_A_BAR:
        width = columns // 8 if columns < _WIDEST else 30
        table.add_column(width=width)
        cells.append(ProgressBar(total, moment.done, width=width, pulse=total is None, animation_time=seconds))
        figures = [_amount(moment) if total else ("", _AMOUNT)]
    if columns >= _ROOM_FOR_A_RATE:
        figures.append((_rate(moment), _RATE))
    if columns >= _ROOM_FOR_A_RATE or not total:
        figures.append((_time(moment), _TIME if columns >= _ROOM_FOR_A_BAR else 0))
    for figure, width in figures:
        table.add_column(no_wrap=True, justify="right", min_width=width)
        cells.append(Text(figure))
    table.add_row(*cells)
    return table


def builds(moments: Sequence[tuple[str, Moment]], columns: int, rows: int) -> list[RenderableType]:
    """Lay out, a line for each, how far builds are, by the names of their disks; of more than fit, how many more."""
    from rich.table import Table
    from rich.text import Text

    fit = len(moments) if len(moments) <= rows else max(rows - 1, 0)
    table = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    table.width = min(columns, _WIDEST) - 1
    table.add_column(ratio=2, no_wrap=True, overflow="ellipsis")
    table.add_column(ratio=3, no_wrap=True, overflow="ellipsis")
    table.add_column(no_wrap=True, justify="right", min_width=len("100%"))
    table.add_column(no_wrap=True, justify="right", min_width=len("0:00"))
    for name, moment in moments[:fit]:
        # The last part of a path tells most of it, and the stage more than the digest of a layer.
        stage = legible(moment.stage.name).partition(" (")[0]
        table.add_row(
            *(Text(each) for each in (legible(PurePath(name).name), stage, _share(moment), human_time(moment.seconds)))
        )
    shown: list[RenderableType] = [table] if fit else []
    return shown + ([Text(f"… and {len(moments) - fit} more")] if rows > 0 and fit < len(moments) else [])


def _share(moment: Moment) -> str:
    total = moment.stage.total
    return f"{min(moment.done / total, 1):.0%}" if total else ""


def _amount(moment: Moment) -> tuple[str, int]:
    """Write how much of how much, in the unit of the whole, and how wide that may become."""
    total = moment.stage.total or 0
    if moment.stage.unit != "bytes":
        return f"{moment.done}/{total} {moment.stage.unit}", len(f"{total}/{total} {moment.stage.unit}")
    whole, unit = human_size(total).split()
    done = moment.done / total * float(whole)
    return f"{done:.{len(whole.partition('.')[2])}f}/{whole} {unit}", len(f"{whole}/{whole} {unit}")


def _rate(moment: Moment) -> str:
    # That of the first moments is none.
    if moment.stage.unit != "bytes" or not moment.done or moment.seconds < 1:
        return ""
    return f"{human_size(moment.done / moment.seconds)}/s"


def _time(moment: Moment) -> str:
    """Write how long it will take, or where nobody knows, how long it has taken."""
    total, done = moment.stage.total, moment.done
    if total is None or moment.stage.unit != "bytes":
        return human_time(moment.seconds)
    return human_time(max(total - done, 0) / done * moment.seconds) if done and moment.seconds >= 1 else ""
