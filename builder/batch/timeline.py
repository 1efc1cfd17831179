"""When each job of a batch ran, and beside which others."""

from __future__ import annotations

import time
from dataclasses import replace

from builder.batch.report import Outcome

# The end of a job and the beginning of the one that takes its place are noted by two threads.
_SLACK_SECONDS = 0.05


class Timeline:
    """Puts times into outcomes, in seconds since it was made, and a number to each that was built side by side."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._free_from: list[float] = []

    def now(self) -> float:
        """Seconds since the batch began."""
        return time.monotonic() - self._began

    def place(self, outcome: Outcome, ended: float) -> Outcome:
        """Say when a job ran, and as which worker's, that has `ended`; to be called in the order in which jobs end.

        Only the scheduler knows who ran it. A job that began where another ended counts as the same worker's.
        """
        if outcome.seconds is None:
            return outcome
        begun = max(ended - outcome.seconds, 0.0)
        free = [number for number, end in enumerate(self._free_from) if end <= begun + _SLACK_SECONDS]
        if free:
            number = max(free, key=lambda each: self._free_from[each])
            begun = max(begun, min(self._free_from[number], ended))
        else:
            number = len(self._free_from)
            self._free_from.append(0.0)
        self._free_from[number] = ended
        return replace(outcome, begun=round(begun, 3), ended=round(ended, 3), worker=number + 1)
