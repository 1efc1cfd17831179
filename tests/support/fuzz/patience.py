"""How long a process that is given inputs is waited for: by what it takes of the processor, with all it has started.

What it takes by the clock says nothing where others have the processor: at an idle priority, an input may take minutes.
By the clock is waited only for who does not ask for the processor.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

# In seconds of the processor, for one input: in the process, which hears it first and shows where it is then; with what
# it has started, as a compiler for the first one.
PATIENCE = 10
WITH_OTHERS = 40
# In seconds of a clock, where no processor is asked for.
WAITING = 120
_TICK = os.sysconf("SC_CLK_TCK")
# Those that run or would if they could, and those that wait for a disk.
_ASKING = ("R", "D")


def wait(child: int, at: Callable[[], bytes]) -> int:
    """Wait for the end of a process and give its status; end it where one input takes too much, or nothing goes on.

    `at` tells inputs apart, and is empty until there is one.
    """
    handle = os.pidfd_open(child)
    before, since, begun = b"", time.monotonic(), 0.0
    last = 0.0
    try:
        while not select.select([handle], [], [], 1)[0]:
            (spent, asks), now = _work(child), at()
            if now != before or not now:
                before, begun = now, spent
            if asks or spent != last:
                last, since = spent, time.monotonic()
            if spent - begun > WITH_OTHERS or time.monotonic() - since > WAITING:
                end(child, signal.SIGABRT)
    finally:
        os.close(handle)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def end(child: int, number: signal.Signals) -> None:
    """End a process by a signal, and what it has started."""
    started = list(_family(child))[1:]
    os.kill(child, number)
    for pid in started:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _work(child: int) -> tuple[float, bool]:
    """Tell how many seconds of the processor a process and all it has started took, and whether one asks for more."""
    ticks, asks = 0, False
    for pid in _family(child):
        with suppress(FileNotFoundError, ProcessLookupError):
            ticks += sum(int(field) for field in _stat(Path(f"/proc/{pid}/stat"))[11:15])
            asks = asks or any(_stat(path)[0] in _ASKING for path in Path(f"/proc/{pid}/task").glob("*/stat"))
    return ticks / _TICK, asks


def _family(pid: int) -> Iterator[int]:
    """Name a process, and those that it and its own have started and are there yet."""
    yield pid
    with suppress(FileNotFoundError, ProcessLookupError):
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in path.read_text().split():
                yield from _family(int(child))


def _stat(path: Path) -> list[str]:
    """Read what stands behind the name of a process or thread: its state, and numbers."""
    return path.read_text().rpartition(")")[2].split()
