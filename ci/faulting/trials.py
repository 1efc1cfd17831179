"""Try faults on commands, one after the other, at one place, and count what came of it."""

from __future__ import annotations

import errno
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from faulting.calls import ERRORS, Calls
from faulting.judging import Judge
from faulting.kills import Kills
from faulting.kind import Bench, Kind
from faulting.lacks import Limits, Permissions, Sources, Streams
from faulting.room import Room
from faulting.running import Around, run
from faulting.state import state_of
from faulting.subjects import Subject, lay_images
from faulting.tools import Tools

KINDS: dict[str, Kind] = {
    kind.name: kind for kind in (Kills(), Room(), Calls(), Sources(), Permissions(), Tools(), Streams(), Limits())
}


class Trials:
    """Tries faults on commands, one after the other, at one place."""

    def __init__(self, place: Path, bench: Bench) -> None:
        self.bench = bench
        self.place = place
        self._prepared = bench.scratch / "prepared"
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self.trial = 0

    def prepare(self, subject: Subject) -> None:
        """Lay out what a command needs, run it on a machine on which all is well, and see what it makes and takes."""
        self._clear()
        lay_images(self.place)
        subject.prepare(self.place)
        shutil.rmtree(self._prepared, ignore_errors=True)
        shutil.copytree(self.place, self._prepared, symlinks=True)
        before = state_of(self.place)
        for real in (False, False, True):
            self._lay()
            ran = run(subject.of(self._next()), self.place, Around(real=real))
            if ran.status or ran.stderr:
                raise SystemExit(f"{subject.name} does not even work: {ran.status}: {ran.stderr}")
            taken = self.bench.taken.get((subject.name, real), ran.seconds)
            self.bench.taken[subject.name, real] = min(taken, ran.seconds)
        self.judge = Judge(subject, before, state_of(self.place))
        if self.bench.preloaded:
            self._count(subject)

    def _count(self, subject: Subject) -> None:
        """Count the calls of each kind that files may refuse, and those that may be interrupted, pipes' among them."""
        for codes in ((errno.EINTR, 0), (errno.EIO, *errno.errorcode)):
            self._lay()
            self.bench.page.set(list(ERRORS), error=codes[0])
            run(subject.of(self._next()), self.place, Around(counted=True))
            for kind, made in self.bench.page.counts().items():
                for code in codes:
                    self.bench.calls.setdefault((subject.name, kind, code), made)

    def try_one(self, kind: Kind, subject: Subject, fault: str) -> list[str]:
        """Try one fault; list what is wrong then."""
        self._lay()
        try:
            with kind.around(fault, self.place, self.bench, subject) as around:
                trial = self._next()
                ran = run(subject.of(trial), self.place, around)
            found = state_of(self.place)
            wrong = self.judge.judge(kind, fault, ran, found)
            wrong += subject.sound(self.place, trial, ran.status == 0)
            outcome = "right" if ran.status == 0 else "refused" if 0 < ran.status < 128 else "ended"
            if self.judge.has_more_to_show(found):
                # By the same user: what belongs to one is not for others.
                again = run(subject.of(trial), self.place, Around(user=around.user))
                wrong += self.judge.settled(again, state_of(self.place))
                wrong += subject.sound(self.place, trial, again.status == 0)
            self.counts[kind.name, subject.name, "FOUND" if wrong else outcome] += 1
            note = kind.note(self.bench, ran)
            return [f"{each}{note}" for each in wrong]
        finally:
            kind.settle()

    def _next(self) -> int:
        self.trial += 1
        return self.trial

    def _clear(self) -> None:
        for path in self.place.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def _lay(self) -> None:
        self._clear()
        shutil.copytree(self._prepared, self.place, symlinks=True, dirs_exist_ok=True)


def table(counts: Counter[tuple[str, str, str]]) -> Iterator[str]:
    """Draw what was counted, a line for each kind of fault and command."""
    yield f"{'fault':<12} {'command':<24} {'tried':>6} {'right':>6} {'refused':>8} {'ended':>6} {'FOUND':>6}"
    for kind, subject in dict.fromkeys((kind, subject) for kind, subject, _ in counts):
        each = [counts[kind, subject, what] for what in ("right", "refused", "ended", "FOUND")]
        yield f"{kind:<12} {subject:<24} {sum(each):>6} {each[0]:>6} {each[1]:>8} {each[2]:>6} {each[3]:>6}"
    total = [sum(n for key, n in counts.items() if key[2] == what) for what in ("right", "refused", "ended", "FOUND")]
    yield f"{'all':<37} {sum(total):>6} {total[0]:>6} {total[1]:>8} {total[2]:>6} {total[3]:>6}"
