"""What a worker of a Dask cluster runs of this program: a build for a client that may be far away.

Dask tells a worker when nobody wants a task any more: its client cancelled it or is gone, or the scheduler is. It ends
no task that runs, though; so each looks after itself here.
"""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from threading import Event, Lock, Thread

from distributed import Worker, get_worker

from builder.batch.messages import is_progress
from builder.batch.process import Builders, BuildLost
from builder.batch.schedulers.lifeline import Lifeline
from builder.errors import BuilderError
from builder.shortage import LACKING

_LOOK_SECONDS = 0.25
# How often it is told how far a build is: more would only be traffic.
_PROGRESS_SECONDS = 1.0
_RUNNING = ("executing", "long-running")
_CLOSING = ("closing", "closed", "failed", "stopping", "stopped")


class _Builds:
    """The builds of this process by batch and number, for whoever wants to end them."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._running: dict[str, dict[int, Lifeline]] = {}
        # Only the last ones: a job that comes too late comes soon after.
        self._stopped: deque[str] = deque(maxlen=1000)

    @contextmanager
    def with_one(self, batch: str, number: int, lifeline: Lifeline) -> Iterator[None]:
        with self._lock:
            if batch in self._stopped:
                raise BuilderError("its batch was cancelled")
            self._running.setdefault(batch, {})[number] = lifeline
        try:
            yield
        finally:
            with self._lock:
                builds = self._running[batch]
                builds.pop(number, None)
                if not builds:
                    del self._running[batch]

    def stop(self, batch: str) -> list[int]:
        with self._lock:
            self._stopped.append(batch)
            builds = self._running.get(batch, {})
            for lifeline in builds.values():
                lifeline.cut()
            return [*builds]


_builds = _Builds()
# For all batches. It ends when it is idle, as nobody tells a worker that no more will come.
_processes = Builders(idle=2.0)


def build(call: str) -> str:
    """Build the disk of a job; return its outcome.

    `call` is a JSON object: the `job`, its `number` in the `batch`, and the `topic` of the cluster's events to which
    each event of the build goes as `NUMBER EVENT`. Both job and outcome are as in messages.py; where there is no
    outcome, the answer says why, as `why_lost` reads it.
    """
    said = json.loads(call)
    worker = get_worker()
    key = worker.get_current_task()
    ended = Event()
    try:
        with closing(Lifeline()) as lifeline, _builds.with_one(said["batch"], said["number"], lifeline):
            watching = Thread(target=_watch, args=(worker, key, lifeline, ended), daemon=True)
            watching.start()
            try:
                return _processes.build(said["job"], lifeline.path, _teller(worker, said["topic"], said["number"]))
            finally:
                ended.set()
                watching.join()
    except (BuilderError, *LACKING) as error:
        return lost(error)


def stop(batch: str) -> list[int]:
    """Have the builds of a batch that run here give up, and let none begin; return the numbers of those that run."""
    return _builds.stop(batch)


def sees(path: str) -> bool:
    """Say whether the directory `path` is here."""
    return os.path.isdir(path)


def lost(error: Exception) -> str:
    """Write that a job has no outcome, and why."""
    # The advice is for who hears of the last time.
    why = error.how if isinstance(error, BuildLost) else str(error)
    return json.dumps({"lost": " ".join(why.split()) or type(error).__name__})


def why_lost(answer: str) -> str | None:
    """Read why a job has no outcome; None if it has one."""
    with suppress(ValueError, RecursionError):
        said = json.loads(answer)
        return str(said["lost"]) if isinstance(said, dict) and "lost" in said else None
    return None


def _watch(worker: Worker, key: str, lifeline: Lifeline, ended: Event) -> None:
    """Cut the lifeline once this worker is not to run the task any more."""
    while not ended.wait(_LOOK_SECONDS):
        task = worker.state.tasks.get(key)
        if task is None or task.state not in _RUNNING or worker.status.name in _CLOSING:
            lifeline.cut()
            return


def _teller(worker: Worker, topic: str, number: int) -> Callable[[str], None]:
    """Return what passes events on to the client, and of those that say how far a build is one in a second."""
    due = 0.0

    def tell(event: str) -> None:
        nonlocal due
        if is_progress(event):
            if time.monotonic() < due:
                return
            due = time.monotonic() + _PROGRESS_SECONDS
        # What nobody can hear any more is no reason to fail.
        with suppress(Exception):
            worker.log_event(topic, f"{number} {event.strip()}")

    return tell
