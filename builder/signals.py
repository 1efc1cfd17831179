"""End on Ctrl-C, SIGTERM and a closed terminal as on any failure: by an exception, so that everything cleans up.

Imports next to nothing: the command installs the handlers before it imports the rest of itself.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_received: int | None = None


def end_on_signals() -> None:
    """From now on, the first of these signals raises SystemExit in the main thread, with status 128 + the signal.

    Later ones are ignored: cleaning up is short, and must not be cut shorter.
    """
    for number in _SIGNALS:
        # Under nohup the terminal may close and the build goes on.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _end)


def end_if_told() -> None:
    """Raise SystemExit if such a signal has come: for those who may have lost its exception, as callbacks from C do."""
    if _received is not None:
        sys.exit(128 + _received)


@contextmanager
def signals_held() -> Iterator[None]:
    """Let no signal's exception in between: what comes meanwhile comes at the end, whoever handles it.

    For the few lines that make what an exception would lose. Without effect in threads, where none are raised.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    handlers = {}
    try:
        for number in _SIGNALS:
            if callable(handler := signal.getsignal(number)):
                handlers[number] = handler
                signal.signal(number, lambda number, _frame: held.append(number))
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for late in held:
            signal.raise_signal(late)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    global _received
    _received = number
    for other in _SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    sys.exit(128 + number)
