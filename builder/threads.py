"""Threads whose end is noticed also where they could not begin.

Where memory is short, a thread may end before it has done anything; Thread.start of `threading` then waits for ever for
it to begin (seen with Python 3.11).
"""

from __future__ import annotations

import weakref
from _thread import allocate_lock, start_new_thread
from collections.abc import Callable

from builder.shortage import stack_fits
from builder.signals import signals_held

# In seconds: how often is looked whether a thread that is waited for is there at all.
_LOOK = 0.5


class _Life:
    """What a thread alone holds on to: once it is gone, so is the thread."""


class Worker:
    """A thread that runs `work`, which has to keep its exceptions for whoever waits. No process lasts for its sake."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._life: weakref.ref[_Life] | None = None
        self._over = False
        self._running = allocate_lock()

    def start(self) -> None:
        """Start the thread, once. Raises RuntimeError where there may be no more, MemoryError without room for one."""
        # A signal's exception would keep what only the thread may hold.
        with signals_held():
            self._running.acquire()
            life = _Life()
            self._life = weakref.ref(life)
            try:
                start_new_thread(self._run, (life,))
            except RuntimeError as error:
                # Whatever holds on to it yet, there is no thread to wait for.
                self._life = None
                if not stack_fits():
                    raise MemoryError("no room for a thread's stack") from error
                raise
            finally:
                del life

    def join(self, seconds: float | None = None) -> None:
        """Wait for the end of `work`, but not longer than that."""
        left = seconds
        while self.is_alive() and (left is None or left > 0):
            step = _LOOK if left is None else min(left, _LOOK)
            if self._running.acquire(timeout=step):
                self._running.release()
                return
            left = None if left is None else left - step

    def is_alive(self) -> bool:
        """Tell whether it has been started and is not over."""
        return not self._over and self._life is not None and self._life() is not None

    def check(self) -> None:
        """Raise MemoryError if it has ended without having come to the end of `work`."""
        if self._life is not None and self._life() is None and not self._over:
            raise MemoryError("a thread could not begin")

    def _run(self, life: _Life) -> None:
        try:
            self._work()
        finally:
            self._over = True
            self._running.release()
            # An exception that `work` has kept keeps this frame.
            del life
