"""The files that say what becomes of a batch, while it goes on and at its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from builder.batch.report import Outcome, render_report
from builder.output.checks import resolve_output
from builder.output.failures import failures_named
from builder.output.kept_contents import contents_beside
from builder.output.publish import write_atomically
from builder.tree.contents import Contents

# A report of many images takes a moment to write, all of it anew; meanwhile nothing else is done.
_SHARE_OF_TIME = 0.05
# A report of so few is written in no time, unless it is a page.
_FEW = 1000


def is_page(path: Path) -> bool:
    """Whether a report of this name is a page to look at; any other is JSON."""
    return path.suffix.lower() in (".html", ".htm")


class Reports:
    """Writes reports again and again, each at once or not at all; what large ones take is a small share of the time."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._pages = [path for path in paths if is_page(path)]
        self._texts = [path for path in paths if not is_page(path)]
        self._contents: dict[int, Contents | None] = {}
        self._next_pages = self._next_texts = 0.0

    def write(self, outcomes: Sequence[Outcome], *, last: bool = False) -> None:
        """Write what is known now; pages and long reports only now and then, but for the `last` time.

        Raises OutputError.
        """
        now = time.monotonic()
        if self._texts and (last or len(outcomes) <= _FEW or now >= self._next_texts):
            self._next_texts = _write(self._texts, lambda: render_report(outcomes))
        if self._pages and (last or now >= self._next_pages):
            self._next_pages = _write(self._pages, lambda: self._page(outcomes))

    def _page(self, outcomes: Sequence[Outcome]) -> bytes:
        # Here, because it is large and few ask for it.
        from builder.batch.page import render_page

        for outcome in outcomes:
            if outcome.well and outcome.line not in self._contents:
                self._contents[outcome.line] = contents_beside(Path(outcome.output))
        return render_page(outcomes, {line: known for line, known in self._contents.items() if known})


def _write(paths: Sequence[Path], render: Callable[[], bytes]) -> float:
    """Write the same to all of these; return the time, of the monotonic clock, from which on it may be done again."""
    begun = time.monotonic()
    content = render()
    for path in paths:
        with failures_named():
            write_atomically(resolve_output(path), content)
    ended = time.monotonic()
    return ended + (ended - begun) / _SHARE_OF_TIME
