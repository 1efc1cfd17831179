"""A kind of fault: which there are, each as words that name it again, and what one of them may end in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from faulting.running import Around, Ran
from faulting.shim import Page
from faulting.subjects import Subject


@dataclass(slots=True)
class Bench:
    """What all trials have in common.

    `count` is how many random faults a command gets, `step` how wide the steps are where there is an order; `page`
    tells the library what to do, if it is `preloaded`; in `scratch` kinds of fault keep what they need; `mounts`: those
    may be made.
    """

    seed: int
    count: int
    step: int
    page: Page
    scratch: Path
    mounts: bool
    preloaded: bool
    # How long each command takes when nothing happens, in seconds, by name and whether Python starts anew.
    taken: dict[tuple[str, bool], float] = field(default_factory=dict)
    # How many calls of each kind each command makes that may fail so: by name, kind, number of the error.
    calls: dict[tuple[str, str, int], int] = field(default_factory=dict)

    def seconds(self, subject: Subject, real: bool) -> float:
        """Tell how long a command takes when nothing happens."""
        return self.taken[subject.name, real]


class Kind(ABC):
    """One kind of fault."""

    name: str

    @abstractmethod
    def faults(self, bench: Bench, subject: Subject) -> Iterator[str]:
        """Name the faults to try."""

    @abstractmethod
    def around(self, fault: str, place: Path, bench: Bench, subject: Subject) -> AbstractContextManager[Around]:
        """Make the circumstances in `place`, where everything is laid out, and have all well again."""

    def statuses(self, fault: str) -> set[int]:
        """Tell with which statuses the command may end."""
        return {0, 1, 4}

    def is_silent(self, fault: str) -> bool:
        """Tell whether an end without a word is right, as with a signal."""
        return False

    def may_leave(self, fault: str) -> bool:
        """Tell whether files may be left that the next run clears up."""
        return False

    def changes(self, fault: str) -> tuple[str, ...]:
        """Tell of which outputs, by how their names end, another version is right."""
        return ()

    def settle(self) -> None:
        """Put away what is left of the circumstances when all was looked at."""
        return

    def note(self, bench: Bench, ran: Ran) -> str:
        """Say more of what has happened."""
        return ""
