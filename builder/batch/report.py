"""What happened to each image of a batch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

BUILT = "built"
UP_TO_DATE = "up to date"
FAILED = "failed"
CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one job: `status` is one of this module's words, `exit_status` what `build` would have exited with.

    `size` is the disk's, in bytes; `error` says in one line why a job failed.
    """

    line: int
    reference: str
    output: str
    status: str
    exit_status: int = 0
    size: int | None = None
    error: str | None = None

    @property
    def well(self) -> bool:
        """Whether the disk is there now."""
        return self.status in (BUILT, UP_TO_DATE)


def summary(outcomes: Sequence[Outcome]) -> str:
    """Count outcomes in one line: `3 built, 1 up to date, 1 failed`."""
    counts = {status: sum(outcome.status == status for outcome in outcomes) for status in _ORDER}
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count) or "the list names no image"


def render_report(outcomes: Sequence[Outcome]) -> bytes:
    """Render the report: a JSON object with the counts and one object per image, in the order of the list."""
    document = {
        "summary": {status: sum(outcome.status == status for outcome in outcomes) for status in _ORDER},
        "images": [asdict(outcome) for outcome in outcomes],
    }
    return json.dumps(document, indent=2).encode() + b"\n"


_ORDER = (BUILT, UP_TO_DATE, FAILED, CANCELLED)
