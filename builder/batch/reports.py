"""The files that say what becomes of a batch, while it goes on and at its end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from builder.batch.report import Outcome, render_report
from builder.output.checks import resolve_output
from builder.output.failures import failures_named
from builder.output.kept_contents import contents_beside
from builder.output.publish import write_atomically
from builder.tree.contents import Contents

# A page of many images takes a moment to make; meanwhile nothing else is done.
_SHARE_OF_TIME = 0.05


def is_page(path: Path) -> bool:
    """Whether a report of this name is a page to look at; any other is JSON."""
    return path.suffix.lower() in (".html", ".htm")


class Reports:
    """Writes reports again and again, each at once or not at all; what a page takes is a small share of the time."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._contents: dict[int, Contents | None] = {}
        self._next_pages = 0.0

    def write(self, outcomes: Sequence[Outcome], *, last: bool = False) -> None:
        """Write what is known now; pages only now and then, but the `last` time. Raises OutputError."""
        pages = [path for path in self._paths if is_page(path)]
        for path in self._paths:
            if path not in pages:
                _write(path, render_report(outcomes))
        begun = time.monotonic()
        if not pages or (begun < self._next_pages and not last):
            return
        page = self._page(outcomes)
        for path in pages:
            _write(path, page)
        ended = time.monotonic()
        self._next_pages = ended + (ended - begun) / _SHARE_OF_TIME

    def _page(self, outcomes: Sequence[Outcome]) -> bytes:
        # Here, because it is large and few ask for it.
        from builder.batch.page import render_page

        for outcome in outcomes:
            if outcome.well and outcome.line not in self._contents:
                self._contents[outcome.line] = contents_beside(Path(outcome.output))
        return render_page(outcomes, {line: known for line, known in self._contents.items() if known})


def _write(path: Path, content: bytes) -> None:
    with failures_named():
        write_atomically(resolve_output(path), content)
