"""Kinds of fault: a signal at any moment."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faulting.kind import Bench, Kind
from faulting.running import Around
from faulting.subjects import Subject

SIGNALS = {"KILL": signal.SIGKILL, "TERM": signal.SIGTERM, "INT": signal.SIGINT, "HUP": signal.SIGHUP}


class Kills(Kind):
    """`NAME PART [start]`: a signal after that part of what the command takes, with or without Python's own start."""

    name = "kill"

    def faults(self, bench: Bench, subject: Subject) -> Iterator[str]:
        chance = random.Random(f"{bench.seed} {subject.name}")
        for number in range(bench.count):
            name = list(SIGNALS)[number % len(SIGNALS)]
            yield f"{name} {chance.random() * 1.1:.4f}" + " start" * (number % 8 > 5)

    @contextmanager
    def around(self, fault: str, place: Path, bench: Bench, subject: Subject) -> Iterator[Around]:
        name, part, *start = fault.split()
        real = start == ["start"]
        after = bench.seconds(subject, real) * float(part)
        yield Around(after=after, then=lambda pid: os.kill(pid, SIGNALS[name]), real=real)

    def statuses(self, fault: str) -> set[int]:
        number = SIGNALS[fault.split()[0]]
        # All was done and cleaned up when the latter came.
        return {0, -number} if number == signal.SIGKILL else {0, 128 + number, -number}

    def is_silent(self, fault: str) -> bool:
        return True

    def may_leave(self, fault: str) -> bool:
        return fault.startswith("KILL")
