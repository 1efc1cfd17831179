"""Kinds of fault: the n-th system call of a kind fails, is interrupted, or does half of what it was asked for."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faulting.kind import Bench, Kind
from faulting.running import Around, Ran
from faulting.subjects import Subject

# The errors of each kind of call; "half": it does less. With a star, that call and all after it.
ERRORS = {
    "read": ("half*", "half", "EIO", "EINTR", "ENOMEM"),
    "write": ("half*", "half", "ENOSPC*", "EIO", "EINTR", "EDQUOT"),
    "copy": ("half*", "half", "ENOSPC", "EIO", "EINTR", "EXDEV*", "EINVAL*"),
    "open": ("EMFILE*", "EIO", "ENFILE", "EACCES", "ENOMEM", "EINTR", "ENOSPC"),
    "rename": ("EIO", "ENOSPC", "EACCES", "EROFS*"),
    "sync": ("EIO", "ENOSPC*", "EDQUOT", "EINTR"),
    "room": ("ENOSPC", "EIO", "EINTR", "EOPNOTSUPP*", "EFBIG"),
}
_FOR_EVER = 1 << 60


def code_of(error: str) -> int:
    """Give an error's number; 0 for half of a call."""
    return 0 if error.startswith("half") else int(getattr(errno, error.rstrip("*")))


class Calls(Kind):
    """`KIND ERROR NUMBER`: the call of that number among those of its kind, in all processes of Python together."""

    name = "call"

    def faults(self, bench: Bench, subject: Subject) -> Iterator[str]:
        for kind, errors in ERRORS.items():
            for position, error in enumerate(errors):
                made = bench.calls.get((subject.name, kind, code_of(error)), 0)
                first = 1 + position * 7 % bench.step if bench.step > 1 else 1
                for number in range(min(first, made), made + 1, bench.step):
                    if number:
                        yield f"{kind} {error} {number}"

    @contextmanager
    def around(self, fault: str, place: Path, bench: Bench, subject: Subject) -> Iterator[Around]:
        kind, error, number = fault.split()
        at = int(number)
        bench.page.set([kind], at, _FOR_EVER if error.endswith("*") else at, code_of(error))
        try:
            yield Around(counted=True)
        finally:
            bench.page.set([])

    def may_leave(self, fault: str) -> bool:
        # What cannot be removed is said, and cleared up by the next.
        return fault.startswith(("rename", "open", "read"))

    def statuses(self, fault: str) -> set[int]:
        # Content that cannot be read is not the image's fault; half of it is nobody's. Of a move of content that was
        # interrupted nobody knows how far it came, and the next build does it anew.
        if fault.startswith("room EINTR"):
            return {0, 1}
        return {0} if " half" in fault or " EINTR" in fault else {0, 1, 4}

    def note(self, bench: Bench, ran: Ran) -> str:
        return f" [{bench.page.first_hit()}]"
