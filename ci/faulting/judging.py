"""Judge one run: what must hold whatever happens."""

from __future__ import annotations

import re
from dataclasses import dataclass

from faulting.kind import Kind
from faulting.running import Ran
from faulting.state import State, below, without
from faulting.subjects import Subject

_UNSEEMLY = re.compile(r"Traceback \(most recent|Exception ignored|Fatal Python error|Unhandled|\.py\", line")
# Nothing of ours has run yet when these are said: Ctrl-C is Python's until `main` says otherwise.
_PYTHONS_OWN_START = re.compile(
    r"<frozen site>|init_import_site|Could not import runpy module"
    r"|<frozen runpy>(?:(?!, in main\n)[\s\S])*\nKeyboardInterrupt\n\Z"
)
# Those have rules of their own, which `Subject.sound` and the cache's own reading hold.
_OF_THEIR_OWN = ("store", "cache", "run")
# Where Python's tempfile has tried whether it can write.
_PROBE = re.compile(r"tmp/[a-z0-9_]{8}")
_MAKING = re.compile(r"making|\.tmp|\.rootfs-builder")


@dataclass(frozen=True, slots=True)
class Judge:
    """Knows what was there before, and what a run leaves on a machine on which all is well."""

    subject: Subject
    before: State
    after: State

    def judge(self, kind: Kind, fault: str, ran: Ran, found: State) -> list[str]:
        """List what is wrong with the end of a run, and with what it has left."""
        if _PYTHONS_OWN_START.search(ran.stderr):
            return []
        wrong = []
        if ran.hung:
            wrong.append("it did not end")
        if ran.left:
            wrong.append(f"left running: {', '.join(ran.left)}")
        if _UNSEEMLY.search(ran.stderr + ran.stdout):
            wrong.append(f"a traceback: {ran.stderr[-1500:]}")
        if ran.status not in kind.statuses(fault) | self.subject.statuses:
            wrong.append(f"status {ran.status}: {ran.stderr.strip()[-300:]}")
        if ran.status > 0 and not kind.is_silent(fault):
            wrong += self._words(ran.stderr)
        wrong += self._outputs(found, ran.status == 0, kind.changes(fault))
        if not kind.may_leave(fault):
            wrong += self._litter(found)
        return wrong

    def has_more_to_show(self, found: State) -> bool:
        """Tell whether one more run would find anything but what was there before, and would not be refused."""
        return found != self.before and not (self.subject.once and not self._outputs(found, whole=True))

    def settled(self, ran: Ran, found: State) -> list[str]:
        """List what is wrong after one more run, for which all was well again."""
        if ran.status:
            return [f"the next run ended with status {ran.status}: {ran.stderr[-1000:]}"]
        return [f"next run: {wrong}" for wrong in (*self._outputs(found, whole=True), *self._litter(found))]

    def _words(self, said: str) -> list[str]:
        lines = said.splitlines()
        if len(lines) not in self.subject.lines or any(not line.startswith("rootfs-builder: ") for line in lines[-1:]):
            return [f"it said {len(lines)} lines: {said[-500:]!r}"]
        return []

    def _outputs(self, found: State, whole: bool, other: tuple[str, ...] = ()) -> list[str]:
        wrong = []
        for units in self.subject.units:
            new = []
            for unit in units:
                there, old, made = (below(state, unit) for state in (found, self.before, self.after))
                if unit.endswith(other) and there:
                    made = there
                if there not in (old, made):
                    wrong.append(f"{unit} is neither what it was nor what it should be: {there or 'gone'}")
                if old != made:
                    new.append(there == made)
            if new != sorted(new, reverse=True):
                wrong.append(f"published in another order: {dict(zip(units, new, strict=False))}")
            if whole and not all(new):
                wrong.append(f"it ended well, and of {units} there are {new}")
        return wrong

    def _litter(self, found: State) -> list[str]:
        own = {unit for units in self.subject.units for unit in units}
        left = without(found, own)
        known = without(self.before, own)
        wrong = []
        for path, what in left.items():
            if path.split("/")[0] in _OF_THEIR_OWN:
                if path.startswith("cache/") and _MAKING.search(path):
                    wrong.append(f"left: {path} ({what})")
            elif known.get(path) != what and not _PROBE.fullmatch(path):
                wrong.append(f"left: {path} ({what})")
        gone = [path for path in known.keys() - left.keys() if path.split("/")[0] not in _OF_THEIR_OWN]
        return wrong + [f"gone: {path}" for path in gone]
