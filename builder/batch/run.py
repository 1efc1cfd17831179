"""Run the jobs of a batch, wherever a scheduler puts them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Executor, Future, wait
from contextlib import suppress
from dataclasses import replace
from queue import Empty, SimpleQueue

from builder.batch.images import Job
from builder.batch.messages import read_outcome, write_job
from builder.batch.process import BuildLost
from builder.batch.report import CANCELLED, FAILED, Outcome, without_disk
from builder.batch.schedulers.local import Local
from builder.batch.schedulers.scheduler import Scheduler
from builder.batch.terms import Terms
from builder.batch.timeline import Timeline
from builder.errors import BuilderError
from builder.output.failures import failures_named
from builder.shortage import shortage

# How long to wait before a job is tried again: what is down comes up, and what is full empties, in its own time.
_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0


def run_batch(jobs: Sequence[Job], executor: Executor, terms: Terms) -> list[Outcome]:
    """Build every job on an executor of this machine and return their outcomes in the order of the list.

    However this returns, nothing is building any more, but for what a lost worker had: that ends by itself. The
    executor, of threads or processes, is the caller's to make and to shut down.
    """
    directory = working_directory()
    submitted: list[Job] = []
    with Local(executor, lambda number, event: terms.heard(submitted[number], event)) as scheduler:
        return run_on(scheduler, jobs, directory, terms, submitted.append)


def working_directory() -> str:
    """Return the directory from which jobs name files. Raises OutputError if it is gone."""
    with failures_named():
        return os.getcwd()


def run_on(
    scheduler: Scheduler,
    jobs: Sequence[Job],
    directory: str,
    terms: Terms,
    submitted: Callable[[Job], None] = lambda _job: None,
) -> list[Outcome]:
    """Build every job where `scheduler` puts it; names in jobs are looked up from `directory`. See `run_batch`.

    `submitted` hears of each job that is about to be given to the scheduler, once for each time that it is.
    """
    runs = _Runs(scheduler, directory, submitted, terms.timeline)
    outcomes: dict[int, Outcome] = {}

    def ended(outcome: Outcome) -> None:
        outcomes[outcome.line] = outcome
        terms.finished(outcome)

    try:
        for job in jobs:
            runs.submit(job)
        while len(outcomes) < len(jobs):
            job, outcome = runs.next()
            if outcome.passing and outcome.attempts <= terms.retries and not runs.stopped:
                terms.retried(job, outcome)
                runs.submit_later(job)
                continue
            ended(outcome)
            if terms.fail_fast and outcome.status == FAILED and not runs.stopped:
                for other in runs.stop():
                    ended(without_disk(other, CANCELLED))
    except BaseException:
        runs.stop()
        raise
    return [outcomes[job.line] for job in jobs]


class _Runs:
    """What a scheduler has been given and has not given back, and what it is to be given again later."""

    def __init__(
        self, scheduler: Scheduler, directory: str, submitted: Callable[[Job], None], timeline: Timeline
    ) -> None:
        self.stopped = False
        self._scheduler = scheduler
        self._directory = directory
        self._submitted = submitted
        self._timeline = timeline
        self._futures: dict[Future[str], Job] = {}
        self._attempts: dict[int, int] = {}
        self._later: list[tuple[float, Job]] = []
        self._ended: SimpleQueue[tuple[Future[str], float]] = SimpleQueue()

    def submit(self, job: Job) -> None:
        """Give a job to the scheduler."""
        self._submitted(job)
        attempt = self._attempts[job.line] = self._attempts.get(job.line, 0) + 1
        future: Future[str] = Future()
        try:
            future = self._scheduler.submit(write_job(job, self._directory))
        except Exception as error:
            if attempt == 1:
                raise
            # Whatever lost the job takes no more.
            future.set_exception(error)
        self._futures[future] = job
        # At once, and not when its turn comes.
        future.add_done_callback(lambda done: self._ended.put((done, self._timeline.now())))

    def submit_later(self, job: Job) -> None:
        """Give a job to the scheduler once more, after a pause."""
        pause = min(_PAUSE_SECONDS * 2.0 ** (self._attempts[job.line] - 1), _LONGEST_PAUSE_SECONDS)
        self._later.append((time.monotonic() + pause, job))

    def next(self) -> tuple[Job, Outcome]:
        """Wait until a job has ended."""
        while True:
            due = min((each for each, _ in self._later), default=None)
            with suppress(Empty):
                future, now = self._ended.get(timeout=due and max(0.0, due - time.monotonic()))
                job = self._futures.pop(future)
                outcome = replace(_outcome(job, future), attempts=self._attempts[job.line])
                return job, self._timeline.place(outcome, now)
            for entry in [each for each in self._later if each[0] <= time.monotonic()]:
                self._later.remove(entry)
                self.submit(entry[1])

    def stop(self) -> list[Job]:
        """Cancel what waits and what runs, until nothing does either; return what nobody has any more."""
        self.stopped = True
        self._scheduler.cancel()
        for future in self._futures:
            future.cancel()
        wait(self._futures)
        later = [job for _, job in self._later]
        self._later.clear()
        return later


def _outcome(job: Job, future: Future[str]) -> Outcome:
    """Take the outcome of a job that has ended, however it has."""
    try:
        return read_outcome(future.result())
    except CancelledError:
        return without_disk(job, CANCELLED)
    except BuildLost as error:
        return replace(without_disk(job, FAILED, str(error)), passing=True)
    except BuilderError as error:
        return without_disk(job, FAILED, str(error))
    except Exception as error:  # an executor may lose a worker, each in its own way
        short = shortage(error)
        return replace(without_disk(job, FAILED, str(short or f"lost: {error!r}")), passing=short is None)
