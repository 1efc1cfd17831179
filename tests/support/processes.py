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


def children(pid: int) -> list[int]:
    """The processes that a process has started, and has not yet heard the end of."""
    listed = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for path in listed for child in path.read_text().split()]


def builders(mark: str, *, ready: bool = True) -> list[int]:
    """The processes that build for a batch, of those that have `mark` (NAME=VALUE) in their environment.

    Those that are `ready` to are among them; they are asked over a socket, where builds have a pipe.
    """
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.fsencode(mark) in (process / "environ").read_bytes().split(b"\0"):
                command = (process / "cmdline").read_bytes()
                if b"builder.batch.ready" in command and (ready or os.readlink(process / "fd/0").startswith("pipe:")):
                    found.append(int(process.name))
        except OSError:
            continue
    return found
