"""Processes of this machine, as /proc shows them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE = 120.0  # seconds; what takes so long never comes


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # the latter of one that goes just now
        return False
    return state != "Z"


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait until something holds; fails if it never does."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def builders(mark: str) -> list[int]:
    """The processes that build for a batch, of those that have `mark` (NAME=VALUE) in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.fsencode(mark) in (process / "environ").read_bytes().split(b"\0"):
                command = (process / "cmdline").read_bytes()
                found += [int(process.name)] if b"builder.batch.worker" in command else []
        except OSError:
            continue
    return found
