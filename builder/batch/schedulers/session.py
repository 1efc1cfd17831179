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
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import suppress
from secrets import token_hex
from typing import Any

from distributed import Client
from distributed import Future as Task

from builder.batch.messages import failed_at
from builder.batch.process import BuildLost
from builder.batch.schedulers import on_worker
from builder.batch.schedulers.cluster import ClusterRefused, ClusterUnreachable, refusal
from builder.batch.schedulers.cluster_worker import RESOURCE, Attempt, ClusterWorker, slots
from builder.batch.schedulers.placement import Placement, Waiting

_BUILD = "builder.batch.schedulers.on_worker:build"
_LOOK_SECONDS = 1.0
# How long a worker may take to say what it is, the scheduler to say which there are, and builds to clean up.
_WORKER_SECONDS = 4.0
_SCHEDULER_SECONDS = 20.0
_STOP_SECONDS = 20.0


class Session:
    """Builds on the workers of `client` that see the directory `outputs`, at most `limit` at a time.

    `note` is told what the user should know of the cluster.
    """

    def __init__(self, client: Client, address: str, outputs: str, limit: int | None, note: Callable[[str], None]):
        self._client = client
        self._address = address
        self._outputs = outputs
        self._limit = limit
        self._note = note
        self._batch = token_hex(16)
        self._placement = Placement()
        self._workers: dict[str, ClusterWorker] = {}
        self._unfit: dict[str, str] = {}
        self._examined: dict[str, asyncio.Task[None]] = {}
        self._attempts: set[asyncio.Task[None]] = set()
        self._stopping: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._ended = False
        self._looked = 0.0
        self._limited = self._waiting = self._begun = False

    async def begin(self) -> None:
        """Wait for the first worker. Raises ClusterRefused if one that is to build cannot do so for us."""
        while True:
            await self._look()
            if self._examined:
                await asyncio.wait(self._examined.values())
            if self._unfit:
                address, reason = next(iter(self._unfit.items()))
                raise ClusterRefused(f"the worker {address}", reason)
            if not self._waits():
                return
            await asyncio.sleep(_LOOK_SECONDS)

    @property
    def machines(self) -> int:
        """How many machines there are to build on."""
        return len({worker.machine for worker in self._workers.values()})

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
        self._begun = True
        try:
            while not self._ended:
                self._check()
                if time.monotonic() > self._looked + _LOOK_SECONDS:
                    await self._look()
                    self._waits()
                self._give()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_SECONDS):
                        await self._changed.wait()
                self._changed.clear()
            if self._stopping:
                await self._stopping
        finally:
            for job in self._placement.clear():
                job.cancel()
            for worker in self._workers.values():
                for attempt in worker.attempts:
                    attempt.job.cancel()

    # --- The workers ---

    def _check(self) -> None:
        stream = self._client.scheduler_comm
        if self._client.status != "running" or stream is None or stream.closed():
            raise ClusterUnreachable(self._address, "it is gone; the same command goes on once it is back")

    async def _look(self) -> None:
        """See which workers there are, and what each takes."""
        self._check()
        try:
            async with asyncio.timeout(_SCHEDULER_SECONDS):
                scheduler: Any = self._client.scheduler
                there = (await scheduler.identity(n_workers=-1))["workers"]
        except (OSError, TimeoutError) as error:
            self._check()
            raise ClusterUnreachable(self._address, "it does not answer any more") from error
        self._looked = time.monotonic()
        for address in [address for address in self._workers if address not in there]:
            self._lose(self._workers.pop(address))
        self._unfit = {address: reason for address, reason in self._unfit.items() if address in there}
        # From then on, also when who declared it is lost: the others were not to build.
        self._limited |= any(RESOURCE in info["resources"] for info in there.values())
        for address, info in there.items():
            if worker := self._workers.get(address):
                worker.describe(info, self._limited)
            elif address not in self._unfit and address not in self._examined and slots(info, self._limited):
                self._examined[address] = asyncio.create_task(self._examine(ClusterWorker(address), info))

    async def _examine(self, worker: ClusterWorker, info: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(_WORKER_SECONDS):
                reason = await refusal(self._client, worker.address, self._outputs)
        except (OSError, TimeoutError):
            return  # gone, or busy: if it is still there, it is asked again
        finally:
            del self._examined[worker.address]
        if reason is None:
            worker.describe(info, self._limited)
            self._workers[worker.address] = worker
            self._changed.set()
            return
        self._unfit[worker.address] = reason
        if self._begun:
            self._note(f"the worker {worker.address} is left out: {reason}")

    def _lose(self, worker: ClusterWorker) -> None:
        self._placement.worker_lost()
        for attempt in worker.attempts:
            attempt.given_up.set()

    def _waits(self) -> bool:
        """Tell whether no worker takes builds; the user hears when that comes to be so."""
        before, self._waiting = self._waiting, not any(worker.slots for worker in self._workers.values())
        if self._waiting and not before and not self._stopping:
            # Others may be idle there, which is a riddle to who does not know that they were not to build.
            one = f"one with --resources {RESOURCE}=1" if self._limited else "one"
            self._note(f"{self._address} has no worker that takes builds; waiting for {one}")
        return self._waiting

    # --- The jobs ---

    def _give(self) -> None:
        """Give the jobs that wait to the workers that have room, to those with most room first."""
        while not self._stopping and (self._limit is None or len(self._attempts) < self._limit):
            for worker in sorted(self._workers.values(), key=lambda each: -each.free):
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
                async with asyncio.timeout(_WORKER_SECONDS):
                    await self._client.cancel([task], force=True)
        return None

    async def _stop(self) -> None:
        """End all builds: by their workers, who say which they have; what waits there is taken back."""
        busy = {worker.address: worker for worker in self._workers.values() if worker.attempts}
        answers: dict[str, list[int]] = {}
        if busy:
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(_WORKER_SECONDS):
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
