"""A batch on a Dask cluster: which worker has which job, from the connection to the end.

Dask is asked for little, so that little can surprise: each job goes to one worker that was chosen here (placement.py),
under a key that nobody has used before, when that worker has room for it. So it is known which jobs a lost worker had;
they go to others, however often Dask would allow it.

The scheduler needs nothing of ours, and no code of ours travels: a task is a call of functions of the standard library
with two texts, the name of a function that workers have and a job in JSON.

All of this runs on one thread.
"""

from __future__ import annotations

import asyncio
import json
import operator
import pkgutil
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import suppress
from secrets import token_hex

from distributed import Client
from distributed import Future as Task

from builder.batch.messages import failed_at
from builder.batch.process import BuildLost
from builder.batch.schedulers import on_worker, workers
from builder.batch.schedulers.cluster_worker import Attempt, ClusterWorker
from builder.batch.schedulers.placement import Placement, Waiting

_BUILD = "builder.batch.schedulers.on_worker:build"
# How long builds may take to clean up.
_STOP_SECONDS = 20.0


class Session:
    """Builds on the workers of `client` that see the directory `outputs`, at most `limit` at a time.

    `note` is told what the user should know of the cluster.
    """

    def __init__(self, client: Client, address: str, outputs: str, limit: int | None, note: Callable[[str], None]):
        self._client = client
        self._limit = limit
        self._batch = token_hex(16)
        self._placement = Placement()
        self._attempts: set[asyncio.Task[None]] = set()
        self._stopping: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._ended = False
        self._workers = workers.Workers(client, address, outputs, note, self._changed.set)

    async def begin(self) -> None:
        """Wait for the first worker. Raises ClusterRefused if one that is to build cannot do so for us."""
        await self._workers.begin()

    @property
    def machines(self) -> int:
        """How many machines there are to build on."""
        return self._workers.machines

    def add(self, job: Waiting) -> None:
        """Have a job built."""
        if self._stopping:
            job.cancel()
            return
        self._placement.add(job)
        self._changed.set()

    def cancel(self) -> None:
        """Have all builds end, and none begin."""
        if self._stopping is None:
            for job in self._placement.clear():
                job.cancel()
            self._stopping = asyncio.create_task(self._stop())

    def end(self) -> None:
        """Cancel, and have `run` return after that."""
        self._ended = True
        self.cancel()
        self._changed.set()

    async def run(self) -> None:
        """Give jobs to workers until told to end. Raises ClusterUnreachable when the scheduler is gone."""
        try:
            while not self._ended:
                self._workers.check()
                if self._workers.is_due:
                    for worker in await self._workers.look():
                        self._lose(worker)
                    self._workers.waits(quietly=self._stopping is not None)
                self._give()
                with suppress(TimeoutError):
                    async with asyncio.timeout(workers.LOOK_SECONDS):
                        await self._changed.wait()
                self._changed.clear()
            if self._stopping:
                await self._stopping
        finally:
            for job in self._placement.clear():
                job.cancel()
            for worker in self._workers:
                for attempt in worker.attempts:
                    attempt.job.cancel()

    def _lose(self, worker: ClusterWorker) -> None:
        self._placement.worker_lost()
        for attempt in worker.attempts:
            attempt.given_up.set()

    def _give(self) -> None:
        """Give the jobs that wait to the workers that have room, to those with most room first."""
        while not self._stopping and (self._limit is None or len(self._attempts) < self._limit):
            for worker in sorted(self._workers, key=lambda each: -each.free):
                beside_lost = any(attempt.job.lost for attempt in worker.attempts)
                if worker.free > 0 and (job := self._placement.take(worker.machine, beside_lost=beside_lost)):
                    break
            else:
                return
            if job.begin():
                attempt = Attempt(job)
                worker.attempts.add(attempt)
                task = asyncio.create_task(self._build(worker, attempt))
                self._attempts.add(task)
                task.add_done_callback(self._attempt_ended)

    def _attempt_ended(self, task: asyncio.Task[None]) -> None:
        self._attempts.discard(task)
        # Not before, or `_give` would count it among those that run.
        self._changed.set()

    async def _build(self, worker: ClusterWorker, attempt: Attempt) -> None:
        job = attempt.job
        answer = await self._answer(worker, attempt)
        worker.attempts.discard(attempt)
        lost = None if answer is None else on_worker.why_lost(answer)
        if answer is not None and lost is None:
            job.future.set_result(failed_at(answer, f"the worker {worker.address}"))
        elif self._stopping:
            job.cancel()
        elif not self._placement.job_lost(job, alone=answer is not None):
            what = "its worker" if answer is None else f"its build ({lost})"
            how = f"lost {job.lost} times, each time with {what}, the last at {worker.address}"
            job.future.set_exception(BuildLost(how))

    async def _answer(self, worker: ClusterWorker, attempt: Attempt) -> str | None:
        """Have a job built; return what comes of it, or None if the worker was lost, or nobody waits any more."""
        said = {
            "job": attempt.job.message,
            "number": attempt.job.number,
            "batch": self._batch,
            "topic": self._client.id,
        }
        key = f"rootfs-builder-{token_hex(16)}"
        task: Task[str] | None = None
        try:
            task = self._client.get(
                # Names and texts: what a scheduler that has nothing of ours, and a worker of another Python, can read.
                {key: (operator.call, (pkgutil.resolve_name, _BUILD), json.dumps(said))},
                key,
                sync=False,
                workers=[worker.address],
                resources=worker.resources,
            )
            result, given_up = asyncio.ensure_future(_settled(task)), asyncio.create_task(attempt.given_up.wait())
            await asyncio.wait({result, given_up}, return_when=asyncio.FIRST_COMPLETED)
            given_up.cancel()
            if result.done():
                return result.result()
            result.cancel()
        except OSError:
            pass  # the connection to the scheduler, which `_check` finds gone, too
        if task is not None:
            with suppress(OSError, TimeoutError, CancelledError):
                async with asyncio.timeout(workers.WORKER_SECONDS):
                    await self._client.cancel([task], force=True)
        return None

    async def _stop(self) -> None:
        """End all builds: by their workers, who say which they have; what waits there is taken back."""
        busy = {worker.address: worker for worker in self._workers if worker.attempts}
        answers: dict[str, list[int]] = {}
        if busy:
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(workers.WORKER_SECONDS):
                    answers = await self._client.run(on_worker.stop, self._batch, workers=[*busy], on_error="ignore")
        for address, worker in busy.items():
            for attempt in worker.attempts:
                if attempt.job.number not in answers.get(address, ()):
                    attempt.given_up.set()
        if self._attempts:
            await asyncio.wait(self._attempts, timeout=_STOP_SECONDS)


async def _settled(task: Task[str]) -> str | None:
    """Wait for the end of a task; None where it is cancelled, or its worker was lost in the eyes of Dask."""
    try:
        return str(await task)
    except CancelledError:
        return None
    except Exception as error:
        return None if type(error).__name__ == "KilledWorker" else on_worker.lost(error)
