"""The part that fetches: a thread that was there before its process was confined, and keeps networks and files.

What starts threads there starts them with all that it has. Threads of one process share their memory: this keeps a
parser that was led astray from the network, not one that was taken over. Who takes nothing from a network has no such
thread.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread, current_thread
from typing import Any, TypeVar

T = TypeVar("T")

_Work = Callable[[], None]

_thread: Thread | None = None
_works: SimpleQueue[_Work] = SimpleQueue()


def keep_outside() -> None:
    """Start the thread; from now on `outside` runs what it is given there."""
    global _thread
    if _thread is None:
        _thread = Thread(target=_run, name="outside", daemon=True)
        _thread.start()


def outside(work: Callable[[], T]) -> T:
    """Call `work` where nothing is confined: in that thread, or right here if there is none. Raises what it raises."""
    if _thread is None or current_thread() is _thread:
        return work()
    results: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()

    def tell() -> None:
        try:
            results.put((work(), None))
        except BaseException as error:
            results.put((None, error))

    _works.put(tell)
    result, error = results.get()
    if error is not None:
        raise error
    given: Any = result
    return given  # type: ignore[no-any-return]


def _run() -> None:
    while True:
        _works.get()()
