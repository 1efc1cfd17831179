"""When jobs ran is told from their ends and how long they took; side by side they have numbers of their own."""

from __future__ import annotations

from builder.batch.report import BUILT, CANCELLED, Outcome
from builder.batch.timeline import Timeline


def placed(*spans: tuple[float, float]) -> list[tuple[float | None, float | None, int | None]]:
    """Where a timeline puts jobs that ran from one time to another."""
    timeline = Timeline()
    outcomes = []
    for begun, ended in sorted(spans, key=lambda span: span[1]):
        outcome = Outcome(1, "oci:a", "a.ext4", BUILT, seconds=ended - begun)
        outcomes.append(timeline.place(outcome, ended))
    return [(each.begun, each.ended, each.worker) for each in outcomes]


def test_what_follows_another_has_its_place_and_what_runs_beside_it_has_none_of_its() -> None:
    assert placed((0, 2), (0, 5), (2, 4), (4, 7), (5, 6)) == [(0, 2, 1), (2, 4, 1), (0, 5, 2), (5, 6, 2), (4, 7, 1)]


def test_a_moment_between_two_threads_makes_no_third_worker() -> None:
    assert placed((0, 2.0), (1.99, 3)) == [(0, 2.0, 1), (2.0, 3, 1)]


def test_nobody_began_before_the_batch() -> None:
    assert placed((-1, 2)) == [(0, 2, 1)]


def test_what_no_process_began_has_no_time() -> None:
    cancelled = Outcome(1, "oci:a", "a.ext4", CANCELLED, 1)
    assert Timeline().place(cancelled, 3.0) == cancelled
