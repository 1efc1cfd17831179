"""The workers of a Dask cluster on which this client can build, as they come and go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

from distributed import Client

from builder.batch.schedulers.cluster import ClusterRefused, ClusterUnreachable, refusal
from builder.batch.schedulers.cluster_worker import RESOURCE, ClusterWorker, slots

# How often to see which workers there are.
LOOK_SECONDS = 1.0
# How long a worker may take to say what it is, and the scheduler to say which there are.
WORKER_SECONDS = 4.0
_SCHEDULER_SECONDS = 20.0


class Workers:
    """The workers of the scheduler at `address` that see the directory `outputs`, in no order.

    `note` is told what the user should know of them, and `changed` when there is another.
    """

    def __init__(
        self, client: Client, address: str, outputs: str, note: Callable[[str], None], changed: Callable[[], None]
    ) -> None:
        self._client = client
        self._address = address
        self._outputs = outputs
        self._note = note
        self._changed = changed
        self._fit: dict[str, ClusterWorker] = {}
        self._unfit: dict[str, str] = {}
        self._examined: dict[str, asyncio.Task[None]] = {}
        self._looked = 0.0
        self._limited = self._waiting = self._begun = False

    def __iter__(self) -> Iterator[ClusterWorker]:
        return iter(self._fit.values())

    async def begin(self) -> None:
        """Wait for the first worker. Raises ClusterRefused if one that is to build cannot do so for us."""
        while True:
            await self.look()
            if self._examined:
                await asyncio.wait(self._examined.values())
            if self._unfit:
                address, reason = next(iter(self._unfit.items()))
                raise ClusterRefused(f"the worker {address}", reason)
            if not self.waits():
                self._begun = True
                return
            await asyncio.sleep(LOOK_SECONDS)

    @property
    def machines(self) -> int:
        """How many machines there are to build on."""
        return len({worker.machine for worker in self})

    def check(self) -> None:
        """Raise ClusterUnreachable if the scheduler is gone."""
        stream = self._client.scheduler_comm
        if self._client.status != "running" or stream is None or stream.closed():
            raise ClusterUnreachable(self._address, "it is gone; the same command goes on once it is back")

    @property
    def is_due(self) -> bool:
        """Whether it is time for another look."""
        return time.monotonic() > self._looked + LOOK_SECONDS

    async def look(self) -> list[ClusterWorker]:
        """See which workers there are, and what each takes; return those that were lost since.

        Raises ClusterUnreachable.
        """
        self.check()
        try:
            async with asyncio.timeout(_SCHEDULER_SECONDS):
                scheduler: Any = self._client.scheduler
                there = (await scheduler.identity(n_workers=-1))["workers"]
        except (OSError, TimeoutError) as error:
            self.check()
            raise ClusterUnreachable(self._address, "it does not answer any more") from error
        self._looked = time.monotonic()
        lost = [self._fit.pop(address) for address in [*self._fit] if address not in there]
        self._unfit = {address: reason for address, reason in self._unfit.items() if address in there}
        # From then on, also when who declared it is lost: the others were not to build.
        self._limited |= any(RESOURCE in info["resources"] for info in there.values())
        for address, info in there.items():
            if worker := self._fit.get(address):
                worker.describe(info, self._limited)
            elif address not in self._unfit and address not in self._examined and slots(info, self._limited):
                self._examined[address] = asyncio.create_task(self._examine(ClusterWorker(address), info))
        return lost

    def waits(self, *, quietly: bool = False) -> bool:
        """Tell whether no worker takes builds; the user hears when that comes to be so, unless `quietly`."""
        before, self._waiting = self._waiting, not any(worker.slots for worker in self)
        if self._waiting and not before and not quietly:
            # Others may be idle there, which is a riddle to who does not know that they were not to build.
            one = f"one with --resources {RESOURCE}=1" if self._limited else "one"
            self._note(f"{self._address} has no worker that takes builds; waiting for {one}")
        return self._waiting

    async def _examine(self, worker: ClusterWorker, info: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(WORKER_SECONDS):
                reason = await refusal(self._client, worker.address, self._outputs)
        except (OSError, TimeoutError):
            return  # gone, or busy: if it is still there, it is asked again
        finally:
            del self._examined[worker.address]
        if reason is None:
            worker.describe(info, self._limited)
            self._fit[worker.address] = worker
            self._changed()
            return
        self._unfit[worker.address] = reason
        if self._begun:
            self._note(f"the worker {worker.address} is left out: {reason}")
