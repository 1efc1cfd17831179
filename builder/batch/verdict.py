"""Which jobs of a batch have something to build, found out in this process before any other is started."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from threading import Thread

from builder.actions.up_to_date import DAMAGED, Lookout, Standing
from builder.batch.images import Job
from builder.batch.report import FAILED, UP_TO_DATE, Outcome, Part, without_disk
from builder.errors import BuilderError, DigestMismatch, SizeMismatch
from builder.events import Listener, ignore
from builder.files.workspace import sweep_directory
from builder.shortage import shortage
from builder.sources.reference import parse_reference
from builder.words import without_password

# How many registries, archives or disks are asked or read at a time.
_THREADS = 8


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to become of a job: an `outcome`, where nothing is to be built, or a `reason` to build it.

    `error` says that its build will fail, as far as one can see.
    """

    job: Job
    reason: str | None = None
    outcome: Outcome | None = None
    error: BuilderError | None = None

    @property
    def fails(self) -> bool:
        """Whether no disk will come of the job."""
        return self.error is not None or (self.outcome is not None and not self.outcome.well)


def judge(jobs: Sequence[Job], *, verify: bool = False, threads: int = _THREADS) -> Iterator[Verdict]:
    """Judge each job by the rules of a build, and change nothing; not in the order of the list.

    Each place that holds images is opened once, and registries are asked side by side. With `verify`, disks and layers
    on this machine are read and held against their digests. Never raises BuilderError.
    """
    with Lookout(verify=verify) as lookout:
        slow: list[Job] = []
        quick: list[Job] = []
        for job in jobs:
            (slow if verify or _takes_long(job) else quick).append(job)
        # Begun first: what answers over a network does so while the rest is looked at.
        ended = _begin(slow, lambda job: _judge(lookout, job), threads)
        for job in quick:
            yield _judge(lookout, job)
        for _ in slow:
            verdict = ended.get()
            if isinstance(verdict, BaseException):
                raise verdict
            yield verdict


def sweep(jobs: Sequence[Job], listen: Listener = ignore) -> None:
    """Remove what killed builds left where disks go: a job that is up to date does not do so."""
    for directory in {job.output.parent for job in jobs}:
        # What is wrong there is for the build to say.
        with suppress(BuilderError):
            if os.path.isdir(directory):
                sweep_directory(directory, listen)


def _takes_long(job: Job) -> bool:
    """Tell what waits for a network, or reads more than documents: archives, and files that are added."""
    with suppress(BuilderError):
        reference = parse_reference(job.reference)
        remote = reference.transport is not None and reference.transport.remote
        return remote or bool(job.options.additions) or reference.is_url or os.path.isfile(reference.place)
    return False


def _begin(jobs: Sequence[Job], look: Callable[[Job], Verdict], threads: int) -> SimpleQueue[Verdict | BaseException]:
    """Start threads that look at jobs; what they find comes out of the queue. They end with the process."""
    waiting: SimpleQueue[Job] = SimpleQueue()
    ended: SimpleQueue[Verdict | BaseException] = SimpleQueue()
    for job in jobs:
        waiting.put(job)

    def work() -> None:
        with suppress(Empty):
            while True:
                job = waiting.get_nowait()
                try:
                    ended.put(look(job))
                except BaseException as error:
                    ended.put(error)

    try:
        for _ in range(min(threads, len(jobs))):
            Thread(target=work, daemon=True).start()
    except RuntimeError:
        # No more threads are to be had.
        work()
    return ended


def _judge(lookout: Lookout, job: Job) -> Verdict:
    begun = time.monotonic()
    try:
        standing = lookout.look(job.reference, job.output, job.options)
    except (DigestMismatch, SizeMismatch) as error:
        # To be said here: a build would find the disk up to date, and not read what was read here.
        outcome = without_disk(job, FAILED, str(error))
        return Verdict(job, outcome=replace(outcome, exit_status=error.exit_status))
    except Exception as error:
        # Whatever it is: the build meets it again in a process of its own, and no other image suffers from it.
        failure = error if isinstance(error, BuilderError) else shortage(error)
        return Verdict(job, reason="could not be looked at", error=failure)
    if standing.known is None:
        # By its size and time it looks up to date: only force builds it anew.
        forced = replace(job, options=replace(job.options, force=True)) if standing.reason == DAMAGED else job
        return Verdict(forced, reason=standing.reason)
    if job.options.push is not None:
        # The build finds it up to date, too, and only what the registry lacks is sent.
        return Verdict(job, reason="is to be pushed")
    return Verdict(job, outcome=_outcome(job, standing, time.monotonic() - begun))


def _outcome(job: Job, standing: Standing, seconds: float) -> Outcome:
    assert standing.known is not None
    assert standing.image is not None
    facts, image = standing.known.facts, standing.image
    return Outcome(
        job.line,
        without_password(job.reference),
        str(job.output),
        UP_TO_DATE,
        size=facts.size,
        sha256=standing.known.digest,
        uuid=str(facts.uuid),
        seconds=round(seconds, 3),
        notices=standing.notices,
        source=None if image.digest is None else str(image.digest),
        layers=tuple(Part(str(layer.descriptor.digest), layer.descriptor.size) for layer in image.layers),
    )
