"""Run the jobs of a batch on any `concurrent.futures` executor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError, Executor, Future, as_completed, wait

from builder.batch.images import Job
from builder.batch.process import build_in_process, stop_running
from builder.batch.report import CANCELLED, FAILED, Outcome


def run_batch(
    jobs: Sequence[Job], executor: Executor, *, fail_fast: bool, finished: Callable[[Outcome], None]
) -> list[Outcome]:
    """Build every job and return their outcomes in the order of the list.

    `finished` hears of each as it ends. One job's failure does not stop the others, unless `fail_fast`: then what
    has not ended is cancelled. The executor is the scheduler; it is the caller's to make and to shut down.
    """
    futures = {executor.submit(build_in_process, job): job for job in jobs}
    outcomes: dict[int, Outcome] = {}
    try:
        for future in as_completed(futures):
            job = futures[future]
            try:
                outcome = future.result()
            except CancelledError:
                outcome = Outcome(job.line, job.reference, str(job.output), CANCELLED, 1)
            except Exception as error:  # an executor may lose a worker, each in its own way
                outcome = Outcome(job.line, job.reference, str(job.output), FAILED, 1, error=f"lost: {error!r}")
            outcomes[job.line] = outcome
            finished(outcome)
            if fail_fast and outcome.status == FAILED:
                _stop(futures)
    except BaseException:
        _stop(futures)
        raise
    return [outcomes[job.line] for job in jobs]


def _stop(futures: Iterable[Future[Outcome]]) -> None:
    """Cancel what waits and end what runs, until nothing does either."""
    unfinished = {future for future in futures if not future.cancel()}
    while unfinished:
        stop_running()
        # A job may have been on its way from waiting to running: look again.
        unfinished = wait(unfinished, timeout=0.1).not_done
