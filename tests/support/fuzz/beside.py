"""A process that runs beside others: it takes what they leave of the processors, and later its part."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

# Where a session is a group of its own, priorities count among its own processes alone, and this is the group's.
_GROUP = Path("/proc/self/autogroup")


def take_what_is_left() -> None:
    """Run, with what is started from now on, where no other process wants to."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    _set_group("19")


def take_part() -> None:
    """Run like any other process from now on, as far as this user may have that again."""
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    _set_group("0")


def _set_group(nice: str) -> None:
    # A terminal's session has others in it.
    if os.getsid(0) == os.getpid():
        with suppress(OSError):
            _GROUP.write_text(nice)
