"""End on Ctrl-C and on SIGTERM as on any failure: by an exception, so that everything cleans up after itself."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import NoReturn

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def end_on_signals() -> None:
    """From now on, the first SIGINT or SIGTERM raises SystemExit in the main thread, with status 128 + the signal.

    Later ones are ignored: cleaning up is short, and must not be cut shorter.
    """
    for number in _SIGNALS:
        signal.signal(number, _end)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    for other in _SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    sys.exit(128 + number)
