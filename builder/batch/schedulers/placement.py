"""Which of the jobs that wait goes to a worker that has room, and when a job has lost enough workers.

Images that share a base go to one machine, which then has it once: a machine takes, first, images whose base it has;
then the base that most images wait for among those that no machine has; and only then one of another machine's. So none
is ever idle while something waits. By machine and not by worker, for it is machines that have caches and stores.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field

# How often a job may lose its worker while no other worker is lost, and how often at all. A job that is to blame kills
# each worker that has it, and no other.
_ALONE = 3
_AT_ALL = 20


@dataclass(eq=False)
class Waiting:
    """A job: its number in the batch, its JSON, what it shares with others, and who waits for its outcome."""

    number: int
    message: str
    base: str
    future: Future[str] = field(default_factory=Future)
    lost: int = 0
    lost_since: int = 0
    begun: bool = False

    def begin(self) -> bool:
        """Say that it runs from now on; False if nobody waits for its outcome any more."""
        if self.begun:
            return True
        self.begun = True
        return self.future.set_running_or_notify_cancel()

    def cancel(self) -> None:
        """Say that it was cancelled, if nothing has been said of it."""
        if not self.begun:
            self.future.cancel()
            self.begin()
        elif not self.future.done():
            self.future.set_exception(CancelledError())


class Placement:
    """The jobs that wait. All machines are equal to it, and are known by any name."""

    def __init__(self) -> None:
        self._groups: dict[str, deque[Waiting]] = {}
        self._again: deque[Waiting] = deque()
        self._bases: dict[str, dict[str, None]] = {}
        self._deaths = 0

    def add(self, job: Waiting) -> None:
        """Let a job wait for its turn."""
        self._groups.setdefault(job.base or f"#{job.number}", deque()).append(job)

    def take(self, machine: str, *, beside_lost: bool) -> Waiting | None:
        """Give the job that goes to `machine` next, if any.

        One that has lost a worker goes first, but not `beside_lost`, to a worker that has another such: that both are
        lost once more would say nothing about either.
        """
        if self._again and not beside_lost:
            return self._again.popleft()
        base = self._best(machine)
        if base is None:
            return None
        self._bases.setdefault(machine, {})[base] = None
        group = self._groups[base]
        job = group.popleft()
        if not group:
            del self._groups[base]
        return job

    def clear(self) -> list[Waiting]:
        """Let none wait any more, and return those that did."""
        waiting = [*self._again, *(job for group in self._groups.values() for job in group)]
        self._again.clear()
        self._groups.clear()
        return waiting

    def worker_lost(self) -> None:
        """Count a worker that is gone, whatever it had to do."""
        self._deaths += 1

    def job_lost(self, job: Waiting, *, alone: bool = False) -> bool:
        """Let a job wait again whose worker, counted before, is gone; False if that has happened too often.

        `alone` says that only its build was lost, and no worker.
        """
        if not job.lost:
            job.lost_since = self._deaths - (not alone)
        job.lost += 1
        others = max(self._deaths - job.lost_since - job.lost, 0)
        if job.lost > min(_ALONE + others, _AT_ALL):
            return False
        self._again.append(job)
        return True

    def _best(self, machine: str) -> str | None:
        here = self._bases.get(machine, {})
        taken = {base for bases in self._bases.values() for base in bases}
        own = next((base for base in here if base in self._groups), None)
        if own is not None or not self._groups:
            return own
        return max(self._groups, key=lambda base: (base not in taken, len(self._groups[base])))
