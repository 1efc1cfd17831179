"""What becomes of jobs that fail: tried again where that may help, and never more often than was asked for."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest

from builder import BuildOptions
from builder.batch import run
from builder.batch.images import Job
from builder.batch.messages import read_job, write_outcome
from builder.batch.process import BuildLost
from builder.batch.report import BUILT, CANCELLED, FAILED, Outcome
from builder.batch.run import run_on
from builder.batch.terms import Terms

JOBS = [Job(number, f"oci:{number}", Path(f"{number}.ext4"), BuildOptions()) for number in (1, 2)]
Answer = Callable[[], str]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_PAUSE_SECONDS", 0.0)


class Scripted:
    """A scheduler that gives each job the answers that it is to have, one after the other."""

    def __init__(self, *scripts: list[Answer]) -> None:
        self.scripts = dict(enumerate(scripts, start=1))
        self.cancelled = 0

    def submit(self, message: str) -> Future[str]:
        job, _ = read_job(message)
        future: Future[str] = Future()
        try:
            future.set_result(self.scripts[job.line].pop(0)())
        except Exception as error:
            future.set_exception(error)
        return future

    def cancel(self) -> None:
        self.cancelled += 1


def ended(number: int, status: str, *, passing: bool = False) -> Answer:
    return lambda: write_outcome(Outcome(number, f"oci:{number}", f"{number}.ext4", status, passing=passing))


def lost() -> str:
    raise BuildLost("its build process was killed by signal 9")


def gone() -> str:
    raise OSError("no worker")


def outcomes(scheduler: Scripted, retries: int, *, fail_fast: bool = False) -> tuple[list[tuple[str, int]], int]:
    """What jobs end as, after how many attempts; and how often somebody heard that one is tried again."""
    heard: list[Job] = []
    terms = Terms(fail_fast=fail_fast, retries=retries, retried=lambda job, _outcome: heard.append(job))
    got = run_on(scheduler, JOBS, "/", terms)
    return [(each.status, each.attempts) for each in got], len(heard)


def test_what_may_pass_is_tried_again_and_the_others_do_not_wait() -> None:
    scheduler = Scripted([lost, gone, ended(1, FAILED, passing=True), ended(1, BUILT)], [ended(2, BUILT)])
    assert outcomes(scheduler, 3) == ([(BUILT, 4), (BUILT, 1)], 3)


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_nothing_is_tried_more_often_than_was_asked_for(retries: int) -> None:
    scheduler = Scripted([lost] * 9, [ended(2, BUILT)])
    assert outcomes(scheduler, retries) == ([(FAILED, retries + 1), (BUILT, 1)], retries)


def test_what_cannot_pass_is_not_tried_again() -> None:
    scheduler = Scripted([ended(1, FAILED)], [ended(2, CANCELLED)])
    assert outcomes(scheduler, 9) == ([(FAILED, 1), (CANCELLED, 1)], 0)


def test_fail_fast_gives_up_what_was_to_be_tried_again() -> None:
    scheduler = Scripted([lost], [ended(2, FAILED)])
    assert outcomes(scheduler, 1, fail_fast=True) == ([(CANCELLED, 0), (FAILED, 1)], 1)
    assert scheduler.cancelled == 1


def test_a_scheduler_that_takes_no_more_fails_the_job_and_not_the_batch() -> None:
    scheduler = Scripted([lost], [ended(2, BUILT)])
    submit, taken = scheduler.submit, []

    def once(message: str) -> Future[str]:
        taken.append(message)
        if len(taken) > len(JOBS):
            raise RuntimeError("cannot schedule new futures after shutdown")
        return submit(message)

    scheduler.submit = once  # type: ignore[method-assign]
    assert outcomes(scheduler, 2)[0] == [(FAILED, 3), (BUILT, 1)]
