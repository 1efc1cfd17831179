"""What a batch asks of whatever runs its jobs."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Protocol


class Scheduler(Protocol):
    """Runs jobs somewhere, and can take all of them back; as a context manager it is there for one batch."""

    def submit(self, message: str) -> Future[str]:
        """Have a job built (`message` is its JSON); the future gives its outcome as JSON.

        It may also raise BuilderError, or whatever an executor raises that loses a worker.
        """
        ...

    def cancel(self) -> None:
        """End the builds that run, wherever they do, and let none begin; their futures end soon."""
        ...
