"""The process that builds one image of a batch: a job comes in on standard input; events and its outcome go out.

It gives up, and cleans up, when nobody waits for its disk any more: when its parent's end of standard input closes, and
when nobody holds the lock on the lifeline.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import msgspec

from builder.actions.build import build
from builder.actions.fetching import fetching_apart
from builder.batch.images import Job
from builder.batch.messages import JobRefused, read_job, write_event, write_outcome, write_refusal
from builder.batch.report import BUILT, CANCELLED, FAILED, UP_TO_DATE, Outcome, Part, without_disk
from builder.errors import BuilderError, MissingRequirement
from builder.events import Event, Listener, Notice, ignore
from builder.exact import write_next
from builder.output.beside import read_as
from builder.output.failures import failures_named
from builder.output.schema import RecordedDisk, RecordedManifest
from builder.registry.failures import GaveUp, Passing
from builder.sandbox.owned import own_process
from builder.sandbox.refused import told
from builder.shortage import LACKING, shortage, unless_short
from builder.signals import end_on_signals, signals_held
from builder.words import without_password


def run(job: Job, listen: Listener = ignore, begun: float | None = None) -> Outcome:
    """Build the disk of one job, unless it is there already; never raises BuilderError.

    Its time counts from `begun` on, by the monotonic clock, or from now.
    """
    notices: list[str] = []

    def listen_too(event: Event) -> None:
        if isinstance(event, Notice):
            notices.append(event.text)
        listen(event)

    begun = time.monotonic() if begun is None else begun
    outcome = Outcome(job.line, without_password(job.reference), str(job.output), BUILT, attempts=1)
    try:
        with failures_named():
            job.output.parent.mkdir(parents=True, exist_ok=True)
        result = build(job.reference, job.output, job.options, listen_too)
        status = BUILT if result.built else UP_TO_DATE
        outcome = replace(outcome, status=status, pushed=result.pushed, **_disk(job))
    except (BuilderError, *LACKING) as error:
        failure = error if isinstance(error, BuilderError) else shortage(error)
        if failure is None:
            raise
        outcome = _failed(outcome, failure)
    return replace(outcome, seconds=round(time.monotonic() - begun, 3), notices=tuple(notices))


def main(lifeline: str, begun: float) -> None:
    """Serve one job, for which this process was started when the monotonic clock said `begun`."""
    end_on_signals()
    own_process()
    answers = _answers()
    lock = threading.Lock()

    def say(line: str) -> None:
        # Threads that fetch say something, too; and a line is there as a whole, or not at all.
        with lock, signals_held(), suppress(BrokenPipeError):
            write_next(answers, line.encode() + b"\n")

    try:
        job, directory = read_job(sys.stdin.readline())
    except JobRefused as error:
        say(write_refusal(error))
        return
    cut = threading.Event()
    outcome = without_disk(job, CANCELLED)
    try:
        # First, since it forks: there must be no other thread yet.
        with fetching_apart(job.reference, job.options.sandbox):
            _listen_for_the_end(lifeline, cut)
            outcome = _run_in(directory, job, lambda event: say(write_event(event)), begun)
    except SystemExit:
        if not cut.is_set():
            raise
    except BuilderError as error:
        # The build had not begun: one that fails has an outcome of its own.
        outcome = _failed(outcome, error)
    say(write_outcome(outcome))


def _answers() -> int:
    """Keep standard output for answers: what anything else prints there goes where errors go."""
    answers = os.dup(1)
    os.dup2(2, 1)
    return answers


def _run_in(directory: str, job: Job, listen: Listener, begun: float) -> Outcome:
    try:
        os.chdir(directory)
    except OSError as error:
        reason = f"{directory}: {error.strerror}; a batch builds where it was started, so this must be there as well"
        return without_disk(job, FAILED, reason)
    return run(job, listen, begun)


class _Layer(msgspec.Struct):
    digest: str
    size: int


class _Image(msgspec.Struct):
    manifest: RecordedManifest
    layers: list[_Layer]


class _Built(msgspec.Struct):
    disk: RecordedDisk
    image: _Image


def _disk(job: Job) -> dict[str, Any]:
    """Tell what is known of the disk that is there now, from its metadata."""
    with suppress(OSError, BuilderError):
        if built := read_as(_Built, job.output, job.options.metadata_file):
            layers = tuple(Part(layer.digest, layer.size) for layer in built.image.layers)
            known = {"size": built.disk.size, "sha256": built.disk.sha256, "uuid": str(built.disk.uuid)}
            return {**known, "source": built.image.manifest.digest, "layers": layers}
    return {}


def _failed(outcome: Outcome, failure: BuilderError) -> Outcome:
    passing = isinstance(failure, Passing | GaveUp)
    return replace(outcome, status=FAILED, exit_status=failure.exit_status, error=told(failure), passing=passing)


def _listen_for_the_end(lifeline: str, cut: threading.Event) -> None:
    """Give up as soon as nobody waits for the disk. Raises MissingRequirement and Shortage where that is not heard."""
    try:
        client: int | None = os.open(lifeline, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        client = None
    except OSError as error:
        reason = unless_short(error).strerror
        advice = "it tells whether anybody waits for this disk: build as the user whose batch it is"
        raise MissingRequirement(f"{lifeline}: {reason}; {advice}") from error
    try:
        for wait in (_wait_for_parent, lambda: _wait_for_client(client)):
            threading.Thread(target=_give_up, args=(wait, cut), daemon=True).start()
    except (MemoryError, RuntimeError) as error:
        raise unless_short(error) from error


def _give_up(wait: Callable[[], None], cut: threading.Event) -> None:
    try:
        wait()
    finally:
        cut.set()
        os.kill(os.getpid(), signal.SIGTERM)


def _wait_for_parent() -> None:
    # Not through sys.stdin: its lock, held by this thread for ever, would be in the way of a clean exit.
    os.read(0, 1)


def _wait_for_client(lifeline: int | None) -> None:
    # Where there is none, the client is gone already.
    if lifeline is not None:
        fcntl.lockf(lifeline, fcntl.LOCK_SH)
