"""A worker of a cluster: how many builds it takes, and which it has."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from builder.batch.schedulers.placement import Waiting

# A resource of Dask: a worker declares as many as it may build disks at a time. Where no worker does, each builds one
# per thread.
RESOURCE = "rootfs-builder"


@dataclass(eq=False)
class Attempt:
    """A job at a worker, until its end or until nobody waits for it there any more."""

    job: Waiting
    given_up: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class ClusterWorker:
    """A worker that can build for us: how many it takes at a time, and those of ours that it has."""

    address: str
    machine: str = ""
    slots: int = 0
    resources: dict[str, float] = field(default_factory=dict)
    attempts: set[Attempt] = field(default_factory=set)

    @property
    def free(self) -> int:
        """How many more builds it takes."""
        return self.slots - len(self.attempts)

    def describe(self, info: Mapping[str, Any], limited: bool) -> None:
        """Take over what the scheduler says of it; `limited` is where any worker declares the resource."""
        self.machine = info["host"]
        self.slots = slots(info, limited)
        self.resources = {RESOURCE: 1} if limited else {}


def slots(info: Mapping[str, Any], limited: bool) -> int:
    """Say how many builds a worker takes at a time, of which the scheduler says this; see RESOURCE for `limited`."""
    if info["status"] != "running":
        return 0  # about to close, or short of memory; it goes on with what it has
    threads = int(info["nthreads"])
    return min(threads, int(info["resources"].get(RESOURCE, 0))) if limited else threads
