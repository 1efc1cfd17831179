"""Signals by name or number, as a config's StopSignal and the kernel of every architecture we build for have them."""

from __future__ import annotations

import re
import signal

from builder.errors import UsageError
from builder.words import quoted

# The kernel's, and glibc's SIGRTMIN: the two that its threads use for themselves come before.
_MAX = 64
_REAL_TIME_MIN = 34

_REAL_TIME = re.compile(r"RT(MIN|MAX)(?:([+-])(\d{1,2}))?", re.ASCII)


def parse_signal(text: str) -> int:
    """Return the number of a signal: `SIGTERM`, `term`, `15`, `SIGRTMIN+3`. Raises UsageError."""
    name = text.strip().upper().removeprefix("SIG")
    number = int(name) if re.fullmatch(r"\d{1,2}", name, re.ASCII) else _by_name(name)
    if number is None or not 1 <= number <= _MAX:
        raise UsageError(f"{quoted(text)} is not a signal; write it as SIGTERM, 15 or SIGRTMIN+3")
    return number


def _by_name(name: str) -> int | None:
    match = _REAL_TIME.fullmatch(name)
    if match is None:
        found = signal.Signals.__members__.get(f"SIG{name}")
        return None if found is None else int(found)
    start = _REAL_TIME_MIN if match[1] == "MIN" else _MAX
    step = int(match[3] or 0)
    number = start + (step if match[2] != "-" else -step)
    return number if _REAL_TIME_MIN <= number <= _MAX else None
