"""Which job goes where: to the machine that has its base, to none that is idle in vain, and not for ever."""

from __future__ import annotations

from concurrent.futures import CancelledError

import pytest

from builder.batch.schedulers.placement import Placement, Waiting


def waiting(*bases: str) -> Placement:
    """Jobs of these bases, numbered from 0."""
    placement = Placement()
    for number, base in enumerate(bases):
        placement.add(Waiting(number, "{}", base))
    return placement


def take(placement: Placement, machine: str, *, beside_lost: bool = False) -> int | None:
    job = placement.take(machine, beside_lost=beside_lost)
    return None if job is None else job.number


def test_each_machine_goes_on_with_the_base_that_it_has() -> None:
    placement = waiting("a", "a", "a", "b", "b", "b")
    assert [take(placement, machine) for machine in ("one", "two", "two", "one", "two")] == [0, 3, 4, 1, 5]


def test_a_new_machine_takes_the_base_that_most_wait_for() -> None:
    assert take(waiting("a", "b", "b", "c"), "one") == 1


def test_a_base_that_no_machine_has_goes_before_one_that_another_has() -> None:
    placement = waiting("a", "a", "a", "b")
    assert [take(placement, machine) for machine in ("one", "two")] == [0, 3]


def test_no_machine_is_idle_while_another_has_the_base_of_all_that_waits() -> None:
    placement = waiting("a", "a", "a")
    assert [take(placement, machine) for machine in ("one", "two", "three", "four")] == [0, 1, 2, None]


def test_jobs_without_a_base_share_nothing() -> None:
    placement = waiting("", "", "a", "a")
    assert [take(placement, machine) for machine in ("one", "one", "two", "two")] == [2, 3, 0, 1]


def lose(placement: Placement, job: Waiting, others: int = 0) -> bool:
    """Lose the worker of a job, and before it some that did not have it."""
    for _ in range(others + 1):
        placement.worker_lost()
    return placement.job_lost(job)


def test_a_job_that_loses_each_worker_and_is_the_only_one_is_given_up() -> None:
    placement = waiting("a")
    job = placement.take("one", beside_lost=False)
    assert job is not None
    assert [lose(placement, job) for _ in range(4)] == [True, True, True, False]


def test_a_job_goes_on_while_workers_are_lost_that_do_not_have_it_but_not_for_ever() -> None:
    placement = waiting("a")
    job = placement.take("one", beside_lost=False)
    assert job is not None
    assert [lose(placement, job, others=3) for _ in range(21)] == [*[True] * 20, False]


def test_a_build_that_is_lost_without_its_worker_is_given_up_as_soon() -> None:
    placement = waiting("a")
    job = placement.take("one", beside_lost=False)
    assert job is not None
    assert [placement.job_lost(job, alone=True) for _ in range(4)] == [True, True, True, False]


def test_what_was_lost_goes_first_but_not_beside_another_such() -> None:
    placement = waiting("a", "a")
    job = placement.take("one", beside_lost=False)
    assert job is not None
    lose(placement, job)
    assert take(placement, "one", beside_lost=True) == 1
    assert take(placement, "one", beside_lost=True) is None
    assert take(placement, "one") == 0


def test_what_waits_can_be_taken_back_and_hears_of_it() -> None:
    placement = waiting("a", "b")
    job = placement.take("one", beside_lost=False)
    assert job is not None
    assert job.begin()
    lose(placement, job)
    cleared = placement.clear()
    assert [each.number for each in cleared] == [0, 1]
    assert take(placement, "one") is None
    for each in cleared:
        each.cancel()
        each.cancel()
        with pytest.raises(CancelledError):
            each.future.result(timeout=0)


def test_a_job_whose_future_was_cancelled_does_not_begin() -> None:
    job = Waiting(0, "{}", "")
    job.future.cancel()
    assert not job.begin()
    job.cancel()
