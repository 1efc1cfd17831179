"""End on Ctrl-C, SIGTERM and a closed terminal as on any failure: by an exception, so that everything cleans up.

Imports next to nothing: the command installs the handlers before it imports the rest of itself.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # as in typing, whose import takes longer than all else here
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from types import FrameType, TracebackType
    from typing import Any, NoReturn
else:
    # The same without enumerations, whose import takes half as long as Python's own start.
    import _signal as signal

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Programs that call us may have these raise exceptions, which then come into our work: after some time, as test runners
# and task runners do, or when they are told to.
_OF_OTHERS = (signal.SIGALRM, signal.SIGUSR1, signal.SIGUSR2)
_received: int | None = None
# In seconds: what cannot be raised where it came is raised so much later.
_MOMENT = 0.001


def end_on_signals() -> None:
    """From now on, the first of these signals raises SystemExit in the main thread, with status 128 + the signal.

    Later ones are ignored: cleaning up is short, and must not be cut shorter.
    """
    for number in _SIGNALS:
        # Under nohup the terminal may close and the build goes on.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _end)


class ended_at_once:
    """Let signals end the process without an exception: while modules are imported, which may swallow one.

    Only for the command, and only while there is nothing to clean up.
    """

    def __enter__(self) -> None:
        self._handled = [number for number in _SIGNALS if signal.getsignal(number) == _end]
        for number in self._handled:
            signal.signal(number, _quit)

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None) -> None:
        for number in self._handled:
            signal.signal(number, _end)


def end_if_told() -> None:
    """Raise SystemExit if such a signal has come: for those who may have lost its exception, as callbacks from C do."""
    if _received is not None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.exit(128 + _received)


def end_soon() -> None:
    """Raise SystemExit a moment from now if such a signal has come: its exception was lost where none can be raised."""
    if _received is not None:
        signal.signal(signal.SIGALRM, lambda _number, _frame: end_if_told())
        signal.setitimer(signal.ITIMER_REAL, _MOMENT)


def no_more_signals() -> None:
    """From now on, signals that have not come yet end the process at once: all is done, and cleaned up."""
    for number in _SIGNALS:
        if signal.getsignal(number) == _end:
            signal.signal(number, signal.SIG_DFL)


class signals_held:
    """Let no signal's exception in between: what comes meanwhile comes at the end, whoever handles it.

    For the few lines that make what an exception would lose. Without effect in threads, where none are raised.
    """

    def __enter__(self) -> None:
        self._came: list[int] = []
        self._handlers: dict[int, Any] = {}
        for number in (*_SIGNALS, *_OF_OTHERS):
            handler = signal.getsignal(number)
            if callable(handler):
                try:
                    signal.signal(number, self._hold)
                except ValueError:
                    return  # not the main thread
                self._handlers[number] = handler

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        for number in self._came:
            signal.raise_signal(number)

    def _hold(self, number: int, _frame: FrameType | None) -> None:
        self._came.append(number)


def _quit(number: int, _frame: FrameType | None) -> NoReturn:
    os._exit(128 + number)


class signals_given_to:
    """Call `take` with each of these signals that comes, instead of ending. For the main thread only."""

    def __init__(self, take: Callable[[int], None]) -> None:
        self._take = take

    def __enter__(self) -> None:
        self._handlers = {number: signal.getsignal(number) for number in _SIGNALS}
        for number in _SIGNALS:
            signal.signal(number, lambda number, _frame: self._take(number))

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    global _received
    _received = number
    for other in _SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    sys.exit(128 + number)
