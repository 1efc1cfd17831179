"""What stages took: each ends where the next of its image begins, and what failed has not ended."""

from __future__ import annotations

from itertools import count

from builder.events import End, Event, Notice, Progress, Stage, Step, Stopwatch, Took


def heard(*events: Event) -> list[Event]:
    """Tell what a stopwatch passes on, whose clock is a second further whenever it looks at it."""
    told: list[Event] = []
    seconds = count()
    stopwatch = Stopwatch(told.append, lambda: float(next(seconds)))
    for event in events:
        stopwatch(event)
    stopwatch.stop()
    stopwatch.stop()
    return told


def test_a_stage_ends_where_the_next_begins_and_steps_are_only_counted() -> None:
    reading, packing = Stage("reading", 7), Stage("packing")
    said: list[Event] = [reading, Progress(5), Step("merging"), Notice("odd"), packing]
    assert heard(*said) == [
        *(reading, Progress(5)),
        *(Took("reading", 1, 7), Notice("odd")),
        *(Took("merging", 1), packing),
        Took("packing", 1),
    ]


def test_what_is_not_counted_in_bytes_has_none() -> None:
    assert heard(Stage("building", 3, unit="disks"))[1:] == [Took("building", 1)]


def test_stages_of_many_images_end_with_those_of_their_own() -> None:
    first, second = Stage("reading", 7, "a"), Stage("reading", 8, "b")
    done = End("built", "a")
    assert heard(first, second, done) == [first, second, Took("reading", 2, 7, "a"), done, Took("reading", 2, 8, "b")]


def test_a_stage_that_failed_has_not_ended() -> None:
    told: list[Event] = []
    stopwatch = Stopwatch(told.append)
    stopwatch(Stage("reading", image="a"))
    stopwatch(Stage("reading"))
    stopwatch.fail("a")
    stopwatch(End("failed", "a"))
    stopwatch.stop()
    assert [type(event) for event in told] == [Stage, Stage, End, Took]


def test_where_all_is_over_no_stage_has_ended() -> None:
    told: list[Event] = []
    stopwatch = Stopwatch(told.append)
    stopwatch(Stage("building", 2, unit="disks"))
    stopwatch(Stage("reading", image="a"))
    stopwatch.fail()
    stopwatch.stop()
    assert [type(event) for event in told] == [Stage, Stage]
