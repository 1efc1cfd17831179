"""Threads: whoever waits for one learns of its end, also of one that could not begin."""

from __future__ import annotations

import gc
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from threading import Event

import pytest
from support.command import ENVIRONMENT

from builder import threads
from builder.layers.ahead import ahead
from builder.shortage import shortage
from builder.threads import Worker
from builder.tool import run_tool

# Threads of 32 MiB, where there are 16.
WITHOUT_ROOM = """
import resource, sys
from pathlib import Path
from threading import Thread
from builder.shortage import shortage
from builder.threads import Worker

size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (16 << 20),) * 2)
for start in (Worker(print).start, Thread(target=print).start):
    try:
        start()
    except (RuntimeError, MemoryError) as error:
        print(type(error).__name__, shortage(error).what)
"""


@pytest.fixture
def stillborn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads end before they begin, as for want of memory."""
    monkeypatch.setattr(threads, "start_new_thread", lambda work, words: 1)


def test_a_worker_is_waited_for() -> None:
    begin, done = Event(), []

    def work() -> None:
        begin.wait(60)
        done.append(1)

    worker = Worker(work)
    assert not worker.is_alive()
    worker.start()
    assert worker.is_alive()
    worker.join(0.01)
    assert done == []
    begin.set()
    worker.join()
    worker.check()
    assert (done, worker.is_alive()) == ([1], False)


def test_a_thread_that_has_no_room_lacks_memory() -> None:
    words = ["prlimit", f"--stack={32 << 20}:", sys.executable, "-c", WITHOUT_ROOM]
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["MemoryError no more memory", "RuntimeError no more memory"]


def test_a_thread_that_has_room_lacks_processes() -> None:
    short = shortage(RuntimeError("can't start new thread"))
    assert short is not None
    assert short.what == "no more processes and threads"


@pytest.mark.parametrize("words", ["[SSL] malloc failure (_ssl.c:3063)", "libz.so.1: failed to map segment from it"])
def test_a_library_that_has_no_memory_lacks_memory(words: str) -> None:
    short = shortage(OSError(1, words))
    assert short is not None
    assert short.what == "no more memory"


@pytest.mark.heavy
def test_one_that_kept_an_exception_has_ended() -> None:
    """What it was called with is in the frames that the exception keeps."""
    kept: list[BaseException] = []

    def work() -> None:
        try:
            raise ValueError
        except ValueError as error:
            kept.append(error)

    worker = Worker(work)
    worker.start()
    worker.join()
    gc.collect()
    # Its very last steps come after it has said that it is over.
    end = time.monotonic() + 60
    while worker._life is not None and worker._life() is not None and time.monotonic() < end:
        time.sleep(0.01)
    assert worker._life is not None
    assert worker._life() is None
    worker.check()


def _read(items: Iterator[int]) -> None:
    for _ in ahead(items):
        raise AssertionError("nobody produces anything")


@pytest.mark.heavy
@pytest.mark.parametrize(
    "wait",
    [lambda: _read(iter([1])), lambda: run_tool(["true"]), lambda: run_tool(["true"], confined=True)],
    ids=["a stage", "a tool", "a confined tool"],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_nobody_waits_for_one_that_could_not_begin(stillborn: None, wait: Callable[[], None]) -> None:
    with pytest.raises(MemoryError):
        wait()
    # The ends of a tool's pipes, which nobody has read.
    gc.collect()


def test_one_that_was_not_started_is_not_waited_for() -> None:
    worker = Worker(lambda: None)
    worker.join()
    worker.check()
    assert not worker.is_alive()
