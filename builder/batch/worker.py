"""The process that builds one image of a batch: a job comes in on standard input, its outcome goes out.

The parent keeps its end of standard input open for as long as it lives; when that closes, nobody waits for the
disk any more and the build is given up, cleaning up after itself.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading

from builder.actions.build import build
from builder.batch.images import Job
from builder.batch.report import BUILT, FAILED, UP_TO_DATE, Outcome
from builder.batch.uptodate import is_up_to_date
from builder.errors import BuilderError
from builder.output.failures import failures_named
from builder.signals import end_on_signals


def run(job: Job) -> Outcome:
    """Build the disk of one job, unless it is there already; never raises BuilderError."""
    try:
        with failures_named():
            if not job.options.force and is_up_to_date(job):
                return Outcome(job.line, job.reference, str(job.output), UP_TO_DATE, size=job.output.stat().st_size)
            job.output.parent.mkdir(parents=True, exist_ok=True)
        result = build(job.reference, job.output, job.options)
    except BuilderError as error:
        return Outcome(job.line, job.reference, str(job.output), FAILED, error.exit_status, error=str(error))
    return Outcome(job.line, job.reference, str(job.output), BUILT, size=result.disk.size)


def main() -> None:
    """Serve one job."""
    end_on_signals()
    job = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_give_up_with_parent, daemon=True).start()
    outcome = run(job)
    pickle.dump(outcome, sys.stdout.buffer)
    sys.stdout.buffer.flush()


def _give_up_with_parent() -> None:
    # Not through sys.stdin: its lock, held by this thread for ever, would be in the way of a clean exit.
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
