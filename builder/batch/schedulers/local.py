"""Any `concurrent.futures` executor whose workers are on this machine: its threads, its processes, their processes.

Builds may run in processes that know nothing of each other, so they are reached through descriptors of this process,
which /proc shows: a lifeline, and a pipe in which they say how far they are. Both end with this process, whatever ends
it, and leave nothing behind.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import ExitStack, suppress
from itertools import count
from threading import Thread
from typing import Self

from builder.batch.messages import read_event
from builder.batch.process import build_in_process, builders_kept
from builder.batch.schedulers.lifeline import Lifeline, path_for_others
from builder.events import Event
from builder.exact import write_next


class Local:
    """A scheduler for one batch (see Scheduler); the executor is the caller's to make and to shut down.

    `hear` is given, on a thread of its own, every event and the number of its job, counted from 0 as submitted. If it
    raises, it hears no more, and what it raised is raised at the end.
    """

    def __init__(self, executor: Executor, hear: Callable[[int, Event], None]) -> None:
        self._executor = executor
        self._hear = hear
        self._numbers = count()
        self._deaf: BaseException | None = None

    def __enter__(self) -> Self:
        self._lifeline = Lifeline()
        self._builders = ExitStack()
        self._builders.enter_context(builders_kept(self._lifeline.path))
        self._reading, self._writing = os.pipe()
        self._listening = Thread(target=self._listen, daemon=True)
        self._listening.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.cancel()
        write_next(self._writing, b"\n")
        self._listening.join()
        self._builders.close()
        for fd in (self._reading, self._writing):
            os.close(fd)
        self._lifeline.close()
        if self._deaf and exception[0] is None:
            raise self._deaf

    def submit(self, message: str) -> Future[str]:
        """Have the executor start a process that builds."""
        events = path_for_others(self._writing)
        return self._executor.submit(build_and_tell, message, self._lifeline.path, events, next(self._numbers))

    def cancel(self) -> None:
        """Let go of the lifeline."""
        self._lifeline.cut()

    def _listen(self) -> None:
        # Up to an empty line: processes that were forked may keep the pipe from ending.
        with open(self._reading, "rb", closefd=False) as events:
            while (line := events.readline()) != b"\n":
                # The pipe is emptied all the same: builds must not wait for it.
                if self._deaf is None:
                    self._pass_on(line.decode())

    def _pass_on(self, line: str) -> None:
        number, _, event = line.partition(" ")
        try:
            self._hear(int(number), read_event(event))
        except BaseException as error:
            self._deaf = error


def build_and_tell(message: str, lifeline: str, events: str, number: int) -> str:
    """Build a disk in a process of its own, and write to the pipe `events` how far job `number` is.

    A plain function of plain values, for any executor to run in any of its processes.
    """

    def hear(event: str) -> None:
        # Opened without blocking, this fails where nobody reads any more, and does not wait for a reader.
        with suppress(OSError), open(os.open(events, os.O_WRONLY | os.O_NONBLOCK), "wb") as pipe:
            os.set_blocking(pipe.fileno(), True)
            # Long lines would mix with those of others.
            fcntl.flock(pipe, fcntl.LOCK_EX)
            write_next(pipe.fileno(), f"{number} {event}".encode())

    return build_in_process(message, lifeline, hear)
