"""Run the jobs of a batch, wherever a scheduler puts them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import CancelledError, Executor, Future, as_completed, wait

from builder.batch.images import Job
from builder.batch.messages import read_outcome, write_job
from builder.batch.report import CANCELLED, FAILED, Outcome, without_disk
from builder.batch.schedulers.local import Local
from builder.batch.schedulers.scheduler import Scheduler
from builder.batch.timeline import Timeline
from builder.errors import BuilderError, OutputError
from builder.events import Event
from builder.shortage import shortage

Finished = Callable[[Outcome], None]
Heard = Callable[[Job, Event], None]


def run_batch(
    jobs: Sequence[Job],
    executor: Executor,
    *,
    fail_fast: bool,
    finished: Finished,
    heard: Heard = lambda _job, _event: None,
) -> list[Outcome]:
    """Build every job on an executor of this machine and return their outcomes in the order of the list.

    `finished` hears of each as it ends, `heard` of the events of their builds, on another thread. One job's failure
    does not stop the others, unless `fail_fast`: then what has not ended is cancelled. However this returns, nothing
    is building any more, but for what a lost worker had: that ends by itself. The executor, of threads or processes, is
    the caller's to make and to shut down.
    """
    directory = working_directory()
    with Local(executor, lambda number, event: heard(jobs[number], event)) as scheduler:
        return run_on(scheduler, jobs, directory, fail_fast=fail_fast, finished=finished)


def working_directory() -> str:
    """Return the directory from which jobs name files. Raises OutputError if it is gone."""
    try:
        return os.getcwd()
    except FileNotFoundError as error:
        raise OutputError(".", "the current directory is gone; change to one that exists") from error


def run_on(
    scheduler: Scheduler, jobs: Sequence[Job], directory: str, *, fail_fast: bool, finished: Finished
) -> list[Outcome]:
    """Build every job where `scheduler` puts it; names in jobs are looked up from `directory`. See `run_batch`."""
    futures: dict[Future[str], Job] = {}
    outcomes: dict[int, Outcome] = {}
    ended: dict[Future[str], float] = {}
    timeline = Timeline()

    def submit(job: Job) -> Future[str]:
        future = scheduler.submit(write_job(job, directory))
        # At once, and not when its turn comes.
        future.add_done_callback(lambda done: ended.setdefault(done, timeline.now()))
        return future

    try:
        futures.update((submit(job), job) for job in jobs)
        for future in as_completed(futures):
            job = futures[future]
            outcomes[job.line] = outcome = timeline.place(_outcome(job, future), ended.get(future, timeline.now()))
            finished(outcome)
            if fail_fast and outcome.status == FAILED:
                _stop(scheduler, futures)
    except BaseException:
        _stop(scheduler, futures)
        raise
    return [outcomes[job.line] for job in jobs]


def _outcome(job: Job, future: Future[str]) -> Outcome:
    """Take the outcome of a job that has ended, however it has."""
    try:
        return read_outcome(future.result())
    except CancelledError:
        return without_disk(job, CANCELLED)
    except BuilderError as error:
        return without_disk(job, FAILED, str(error))
    except Exception as error:  # an executor may lose a worker, each in its own way
        return without_disk(job, FAILED, str(shortage(error) or f"lost: {error!r}"))


def _stop(scheduler: Scheduler, futures: Collection[Future[str]]) -> None:
    """Cancel what waits and what runs, until nothing does either."""
    scheduler.cancel()
    for future in futures:
        future.cancel()
    wait(futures)
