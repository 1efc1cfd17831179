from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial

import pytest
from support.leaks import no_thread_left
from support.processes import wait_until

from builder import threads
from builder.layers.ahead import ahead, aside, batches
from builder.threads import Worker


class Upstream:
    """Counts what is taken from it, and knows whether and where it was closed."""

    def __init__(self, count: int = 10**9) -> None:
        self.taken = 0
        self.closed_in: int | None = None
        self._count = count

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        if self.taken == self._count:
            raise StopIteration
        self.taken += 1
        return self.taken

    def close(self) -> None:
        self.closed_in = threading.get_ident()


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    with no_thread_left():
        yield


def settled(upstream: Upstream, taken: int) -> int:
    """Wait until so much is taken, and a little longer; how much is then."""
    wait_until(lambda: upstream.taken >= taken)
    time.sleep(0.05)
    return upstream.taken


def test_items_come_in_order_and_upstream_is_closed_in_its_thread() -> None:
    upstream = Upstream(1000)
    assert list(ahead(upstream, depth=2)) == list(range(1, 1001))
    assert upstream.closed_in not in (None, threading.get_ident())


def test_reads_no_further_ahead_than_its_depth() -> None:
    upstream = Upstream()
    stage = ahead(upstream, depth=3)
    assert next(stage) == 1
    # One with the consumer, three that wait, one in the thread's hands.
    assert settled(upstream, 5) == 5
    stage.close()
    assert upstream.closed_in is not None


def test_an_error_is_raised_at_its_place_in_the_stream() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("third")

    stage = ahead(items())
    assert [next(stage), next(stage)] == [1, 2]
    with pytest.raises(ValueError, match="third"):
        next(stage)


def test_closing_wakes_a_thread_that_waits_for_room() -> None:
    upstream = Upstream()
    stage = ahead(upstream, depth=1)
    next(stage)
    settled(upstream, 3)
    stage.close()
    assert upstream.closed_in is not None


def test_closing_waits_for_the_step_that_upstream_is_in_and_no_longer() -> None:
    gate, steps = threading.Event(), []

    def items() -> Iterator[int]:
        for step in range(100):
            steps.append(step)
            yield step
            gate.wait(10)

    stage = ahead(items())
    assert next(stage) == 0
    timer = threading.Timer(0.1, gate.set)
    timer.start()
    stage.close()
    assert steps in ([0], [0, 1])
    timer.join()


def test_an_exception_in_the_consumer_ends_all_stages() -> None:
    upstream = Upstream()

    def pipeline() -> Generator[int, None, None]:
        yield from ahead(x + 1 for x in ahead(x * 2 for x in ahead(upstream)))

    def consume() -> None:
        with closing(pipeline()) as stages:
            for item in stages:
                if item > 100:
                    raise KeyError

    with pytest.raises(KeyError):
        consume()
    assert upstream.closed_in is not None


def test_a_stage_that_nobody_started_has_no_thread() -> None:
    upstream = Upstream()
    ahead(upstream).close()
    assert upstream.taken == 0


def test_a_signal_while_the_thread_starts_leaves_upstream_to_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    start = Worker.start

    def interrupted(thread: Worker) -> None:
        start(thread)
        raise KeyboardInterrupt  # as a signal handler would, at this very place

    upstream = Upstream()
    monkeypatch.setattr(Worker, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(ahead(upstream))
    assert upstream.closed_in is not None


def test_stages_overlap() -> None:
    meeting = threading.Barrier(2, timeout=10)

    def producer() -> Iterator[int]:
        yield 1
        meeting.wait()  # in the middle of the second step ...
        yield 2

    stage = ahead(producer())
    assert next(stage) == 1
    meeting.wait()  # ... while the consumer is still busy with the first
    assert list(stage) == [2]


def test_a_signal_while_waiting_ends_the_step_that_is_waited_for() -> None:
    gone = threading.Event()

    def endless() -> Iterator[int]:
        # Only a signal comes while the first item is waited for.
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        gone.wait()
        yield 1

    with pytest.raises(KeyboardInterrupt):
        next(ahead(endless(), interrupted=gone.set))
    assert gone.is_set()


def test_who_looks_on_is_shown_all_items_in_order_before_the_end() -> None:
    shown: list[int] = []
    assert list(aside(range(1000), shown.append, depth=2)) == list(range(1000))
    assert shown == list(range(1000))


def test_who_looks_on_is_no_further_behind_than_its_depth() -> None:
    gate, shown = threading.Event(), []

    def take(item: int) -> None:
        gate.wait()
        shown.append(item)

    stage = aside(range(100), take, depth=3)
    assert [next(stage) for _ in range(3)] == [0, 1, 2]
    timer = threading.Timer(0.1, gate.set)
    timer.start()
    assert next(stage) == 3
    # There was no room for the fourth before the first was taken.
    assert shown
    stage.close()
    assert shown == [0, 1, 2, 3]
    timer.join()


@pytest.mark.parametrize("depth", [1, 1000])
def test_what_the_onlooker_cannot_take_is_raised_at_the_latest_at_the_end(depth: int) -> None:
    def take(item: int) -> None:
        if item == 3:
            raise ValueError("third")

    with pytest.raises(ValueError, match="third"):
        list(aside(range(100), take, depth))


def test_an_error_of_the_items_comes_before_one_of_the_onlooker() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyError("second")

    def take(item: int) -> None:
        raise ValueError("first")

    with pytest.raises(KeyError, match="second"):
        list(aside(items(), take))


def test_an_onlooker_that_could_not_begin_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    # As where memory is short: the thread ends before it does anything.
    monkeypatch.setattr(Worker, "_run", lambda self, life: None)
    with pytest.raises(MemoryError):
        list(aside(range(100), lambda item: None, depth=3))


@pytest.mark.parametrize("stage", [ahead, partial(aside, take=lambda item: None)])
def test_a_thread_that_may_not_be_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, stage: Callable[[range], Iterator[int]]
) -> None:
    """The frame that raises holds all that the thread was to have."""

    def refuse(*arguments: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threads, "start_new_thread", refuse)
    with pytest.raises(RuntimeError, match="can't start"):
        list(stage(range(100)))


@pytest.mark.parametrize(
    ("sizes", "expected"), [([], []), ([9], [[9]]), ([4, 6, 10, 25, 1], [[4, 6], [10], [25], [1]]), ([3, 3], [[3, 3]])]
)
def test_chunks_are_handed_over_many_at_once(sizes: list[int], expected: list[list[int]]) -> None:
    assert [list(map(len, batch)) for batch in batches(map(bytes, sizes), 10)] == expected
