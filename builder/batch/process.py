"""One image, one process: whatever a build does to its process, the others do not notice."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from contextlib import suppress

from builder.batch.images import Job
from builder.batch.report import CANCELLED, FAILED, Outcome

_running: set[subprocess.Popen[bytes]] = set()
_stopped: set[subprocess.Popen[bytes]] = set()


def build_in_process(job: Job) -> Outcome:
    """Build one disk in a process of its own; a plain function of a plain value, for any executor to run anywhere."""
    with _start() as process:
        _running.add(process)
        try:
            answer, status = _converse(process, job)
        finally:
            _running.discard(process)
    if answer:
        outcome: Outcome = pickle.loads(answer)
        return outcome
    if process in _stopped:
        _stopped.discard(process)
        return _ended(job, CANCELLED, None)
    how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
    return _ended(job, FAILED, f"its build process {how} without an answer; build this image alone to see why")


def stop_running() -> None:
    """End the builds that run in this process's name; each is told once, and cleans up before it ends."""
    for process in _running - _stopped:
        _stopped.add(process)
        process.terminate()


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "builder.batch.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # What a worker that was ended early did not read must not come up again when the pipe is closed.
        bufsize=0,
        # The worker must find this very package, also where it is not installed.
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        # Ctrl-C reaches the batch, which then ends its builds; they must not each hear of it as well.
        start_new_session=True,
    )


def _converse(process: subprocess.Popen[bytes], job: Job) -> tuple[bytes, int]:
    """Hand over the job, wait for the answer; standard input stays open until then, as the worker's lifeline."""
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(BrokenPipeError):
        process.stdin.write(pickle.dumps(job))
    return process.stdout.read(), process.wait()


def _ended(job: Job, status: str, error: str | None) -> Outcome:
    return Outcome(job.line, job.reference, str(job.output), status, 1, error=error)
