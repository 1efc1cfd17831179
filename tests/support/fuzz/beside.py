"""Processes beside others: they take what those leave of the processors, and the campaign later its part."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

# Where a session is a group of its own, priorities count among its own processes alone, and this is the group's.
_GROUP = Path("/proc/self/autogroup")


def take_what_is_left() -> None:
    """Run where no other process wants to, for good: only root may go back."""
    # Systems that are not quite Linux may have no such.
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def come_last() -> None:
    """Let this session wait for others, where there are groups."""
    _set_group("19")


def take_part() -> None:
    """Let this session run like any other."""
    _set_group("0")


def _set_group(nice: str) -> None:
    # A terminal's session has others in it.
    if os.getsid(0) == os.getpid():
        with suppress(OSError):
            _GROUP.write_text(nice)
