"""The course of a batch, told as it goes: on standard error, and in the report."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Self

from builder.batch.images import Job
from builder.batch.report import CANCELLED, FAILED, UNFINISHED, Outcome, without_disk
from builder.batch.reports import Reports
from builder.batch.timeline import Timeline
from builder.batch.verdict import judge, sweep
from builder.cli.console import Console
from builder.errors import BuilderError, OutputDenied, OutputError
from builder.events import End, Event, Notice, Progress, Stage
from builder.sizes import counted, human_size


class Course:
    """What has become of each job so far; as a context manager it sees to it that the reports say so in the end."""

    def __init__(self, console: Console, planned: Sequence[Job], reports: Reports) -> None:
        self.timeline = Timeline()
        self._console = console
        self._planned = planned
        self._reports = reports
        self._outcomes = {job.line: without_disk(job, UNFINISHED) for job in planned}
        self._reasons: dict[int, str | None] = {}
        self._ended = 0
        self._listen = console.listener()
        self._listen(Stage(f"building {counted(len(planned), 'disk')}", len(planned), unit="disks"))

    def __enter__(self) -> Self:
        # The one of an earlier run would mislead.
        self._reports.write(self.ends)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None) -> None:
        if kind is not None:
            for job in self._planned:
                if self._outcomes[job.line].status == UNFINISHED:
                    self._outcomes[job.line] = without_disk(job, CANCELLED)
        self._reports.write(self.ends, last=True)

    @property
    def ends(self) -> list[Outcome]:
        """The outcomes, in the order of the list."""
        return list(self._outcomes.values())

    def judge(self, *, verify: bool, fail_fast: bool) -> list[Job]:
        """Take note of what is up to date, and return what is to be built, in the order of the list."""
        sweep(self._planned, self._console.notices)
        left: dict[int, Job] = {}
        for verdict in judge(self._planned, verify=verify):
            if verdict.outcome is None:
                left[verdict.job.line] = verdict.job
                self._reasons[verdict.job.line] = verdict.reason
                continue
            for text in verdict.outcome.notices:
                self.heard(verdict.job, Notice(text))
            self._take(verdict.outcome)
        if fail_fast and any(outcome.status == FAILED for outcome in self.ends):
            for job in left.values():
                self._take(without_disk(job, CANCELLED))
            left = {}
        self._reports.write(self.ends)
        return [left[job.line] for job in self._planned if job.line in left]

    def heard(self, job: Job, event: Event) -> None:
        """Tell what a build says."""
        # Of many images at once the end of each is enough, unless asked for more.
        if self._console.shows_each or isinstance(event, Notice):
            self._listen(replace(event, image=str(job.output)))

    def retried(self, job: Job, outcome: Outcome) -> None:
        """Tell that a job has failed, and will be tried once more."""
        self.heard(job, Notice(f"{outcome.error}; this was attempt {outcome.attempts}, and there will be another"))

    def finished(self, outcome: Outcome) -> None:
        """Take note of the end of a job, and tell it."""
        self._take(outcome)
        # Each time, so that there is one of what was done even if we are killed. No room for it, now or on its own
        # file system, is no reason to build no more: that of the end says so, if it is still the case.
        with suppress(OutputError, OutputDenied):
            self._reports.write(self.ends)

    def _take(self, outcome: Outcome) -> None:
        if outcome.reason is None:
            outcome = replace(outcome, reason=self._reasons.get(outcome.line))
        self._outcomes[outcome.line] = outcome
        self._ended += 1
        size = "" if outcome.size is None else f", {human_size(outcome.size)}"
        error = "" if outcome.error is None else f": {outcome.error}"
        line = f"[{self._ended}/{len(self._planned)}] {outcome.output}: {outcome.status}{size}{error}"
        if not outcome.well:
            self._console.abandon(outcome.output)
        if outcome.status == FAILED:
            self._console.fail(BuilderError(line), outcome.output)
        elif self._console.shows_progress:
            self._console.say(line, outcome.output)
        self._listen(End(outcome.status, outcome.output))
        self._listen(Progress(self._ended))
