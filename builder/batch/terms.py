"""On what terms a batch is run, and who hears of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from builder.batch.images import Job
from builder.batch.report import Outcome
from builder.batch.timeline import Timeline
from builder.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What holds wherever the jobs of a batch are built.

    `finished` hears of each as it ends, `heard` of the events of their builds, on another thread. What fails and may
    pass, as a network or a killed process, is tried `retries` times more, and `retried` hears of it. One job's failure
    does not stop the others, unless `fail_fast`: then what has not ended is cancelled. `timeline` has when it began.
    """

    finished: Callable[[Outcome], None] = lambda _outcome: None
    heard: Callable[[Job, Event], None] = lambda _job, _event: None
    retried: Callable[[Job, Outcome], None] = lambda _job, _outcome: None
    retries: int = 0
    fail_fast: bool = False
    timeline: Timeline = field(default_factory=Timeline)
