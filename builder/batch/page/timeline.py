"""When each job ran, and beside which others: a lane for each worker, as plain SVG in percent of the whole time."""

from __future__ import annotations

from collections.abc import Sequence

from builder.batch.page.facts import Row
from builder.batch.page.markup import Html, tag
from builder.sizes import counted, human_size

_LANE, _BAR = 30, 24
_AXIS = 22
# In percent: a bar that is shorter cannot be seen, and one without room for words has none.
_SHORTEST, _READABLE = 0.4, 4
# In seconds, and what follows them: as clocks are divided.
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
_MOST_TICKS = 6


def timeline(rows: Sequence[Row], total: float) -> Html:
    """Draw when jobs ran, those of which it is known; `total` is the whole time in seconds."""
    ran = [row for row in rows if row.outcome.begun is not None and row.outcome.ended is not None]
    workers = {worker: lane for lane, worker in enumerate(sorted({row.outcome.worker or 0 for row in ran}))}
    whole = max(total, 0.001)
    height = len(workers) * _LANE + _AXIS
    lanes = [_bar(row, workers[row.outcome.worker or 0], whole) for row in ran]
    label = f"{len(ran)} builds by {counted(len(workers), 'worker')} in {seconds(total)}"
    drawn = tag("svg", *_ticks(whole, height), *lanes, height=str(height), role="group", aria_label=label)
    return tag("div", drawn, class_="time")


def seconds(time: float) -> str:
    """Write a time: `< 0.1 s`, `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if 0 < time < 0.05:
        return "< 0.1 s"
    if time < 10:
        return f"{time:.1f} s"
    if time < 100:
        return f"{time:.0f} s"
    minutes, rest = divmod(round(time), 60)
    if minutes < 100:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def _ticks(whole: float, height: int) -> list[Html]:
    step = next((step for step in _STEPS if whole / step <= _MOST_TICKS), whole)
    drawn = []
    for number in range(int(whole / step) + 1):
        place = f"{number * step / whole * 100:.4g}%"
        drawn.append(tag("line", x1=place, x2=place, y1="0", y2=str(height - _AXIS)))
        # What stands at the very end would be cut.
        if number * step / whole < 0.95:
            drawn.append(tag("text", seconds(number * step), x=place, y=str(height - 6)))
    return drawn


def _bar(row: Row, lane: int, whole: float) -> Html:
    outcome = row.outcome
    begun, ended = outcome.begun or 0, outcome.ended or 0
    width = max((ended - begun) / whole * 100, _SHORTEST)
    size = "" if outcome.size is None else f", {human_size(outcome.size)}"
    title = f"{row.name}: {outcome.status}, {seconds(ended - begun)}{size}"
    words = [tag("text", row.name, x="7", y="16")] if width >= _READABLE else []
    drawn = tag(
        "svg",
        tag("title", title),
        tag("rect", rx="4"),
        *words,
        x=f"{begun / whole * 100:.4g}%",
        y=str(lane * _LANE),
        width=f"{width:.4g}%",
        height=str(_BAR),
        class_=outcome.status.replace(" ", "-"),
    )
    return tag("a", drawn, href=f"#{row.anchor}", aria_label=title)
