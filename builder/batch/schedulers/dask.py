"""A Dask cluster as a scheduler: many machines, of which some go while others come. Needs the extra `[dask]`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Self

from distributed.security import Security

from builder.batch.messages import JobRefused, line_of, read_event
from builder.batch.schedulers.cluster import connected, quiet_logs
from builder.batch.schedulers.placement import Waiting
from builder.batch.schedulers.session import Session
from builder.events import Event
from builder.files.descriptors import shown
from builder.files.workspace import workspace

# How often to see whether anybody still waits for the first worker, in seconds.
_LOOK_SECONDS = 0.2


class Dask:
    """A scheduler for one batch (see Scheduler), at `address`; its disks go into the directory `outputs`, absolute.

    `hear` is as for Local; `note` is told, on another thread, what the user should know of the cluster itself. At most
    `limit` builds run at a time. `security` is for `tls://`; without it, Dask's own configuration has what that needs.
    Entering raises ClusterUnreachable, and ClusterRefused where a worker cannot build for us. When the scheduler is
    lost, what has not ended is cancelled, and leaving raises ClusterUnreachable.
    """

    def __init__(
        self,
        address: str,
        outputs: Path,
        hear: Callable[[int, Event], None],
        *,
        note: Callable[[str], None] = lambda _text: None,
        limit: int | None = None,
        security: Security | None = None,
    ) -> None:
        self._address = address
        self._outputs = outputs
        self._hear = hear
        self._note = note
        self._limit = limit
        self._security = security
        self._bases: Mapping[int, str] = {}
        self._numbers = count()
        self._told: SimpleQueue[str | None] = SimpleQueue()
        self._ready: Future[Session] = Future()
        self._failure: BaseException | None = None
        self._abandoned = False
        self._lock = Lock()
        self._jobs: list[Waiting] = []
        self._over = False

    def __enter__(self) -> Self:
        self._threads = [Thread(target=target, daemon=True) for target in (self._serve, self._listen)]
        for thread in self._threads:
            thread.start()
        try:
            self._session = self._ready.result()
        except BaseException:
            self._abandoned = True
            for thread in self._threads:
                thread.join()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._call(self._session.end)
        for thread in self._threads:
            thread.join()
        if self._failure and exception[0] is None:
            raise self._failure

    @property
    def machines(self) -> int:
        """How many machines its workers are on, as far as they have come."""
        return self._session.machines

    def keep_together(self, bases: Mapping[int, str]) -> None:
        """Send jobs of one base to one machine where that keeps none waiting; `bases` are by line of the list."""
        self._bases = bases

    def submit(self, message: str) -> Future[str]:
        """Have a job built."""
        job = Waiting(next(self._numbers), message, self._bases.get(line_of(message), ""))
        with self._lock:
            if self._over or not self._call(lambda: self._session.add(job)):
                job.cancel()
            self._jobs.append(job)
        return job.future

    def cancel(self) -> None:
        """Have the workers end all builds."""
        self._call(self._session.cancel)

    def _call(self, function: Callable[[], None]) -> bool:
        """Have the other thread call a function; False if it has ended."""
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:
            return False
        return True

    def _serve(self) -> None:
        try:
            with quiet_logs(), workspace(self._outputs, "cluster") as token:
                # By the name that the caller has for it, as workers will have.
                asyncio.run(self._run(str(self._outputs / Path(shown(token.path)).name)))
        except BaseException as error:
            self._failure = error
            if not self._ready.done():
                self._ready.set_exception(error)
        finally:
            self._told.put(None)
            # Every job, also one that is just on its way in, or back from a worker that was lost.
            with self._lock:
                self._over = True
                for job in self._jobs:
                    job.cancel()

    async def _run(self, outputs: str) -> None:
        self._loop = asyncio.get_running_loop()
        async with connected(self._address, self._security) as client:
            session = Session(client, self._address, outputs, self._limit, self._note)
            client.subscribe_topic(client.id, self._take)
            beginning = asyncio.create_task(session.begin())
            while not self._abandoned and not beginning.done():
                await asyncio.wait([beginning], timeout=_LOOK_SECONDS)
            if self._abandoned:
                beginning.cancel()
                return
            await beginning
            self._ready.set_result(session)
            await session.run()
            client.unsubscribe_topic(client.id)

    def _take(self, event: tuple[float, object]) -> None:
        # Under the same topic, Dask itself tells what happens to this client; that is no text.
        if isinstance(event[1], str):
            self._told.put(event[1])

    def _listen(self) -> None:
        deaf = False
        while (line := self._told.get()) is not None:
            if not deaf:
                number, _, event = line.partition(" ")
                try:
                    self._hear(int(number), read_event(event))
                except JobRefused:
                    continue  # of another version, which is of no consequence
                except BaseException as error:
                    deaf, self._failure = True, error
