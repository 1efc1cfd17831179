"""What is in a directory, to be held against what was there before, and against what comes out on a healthy machine."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path

# How far a build could confine itself: where it could not, its metadata say so, and nothing else may differ.
_CONFINED = re.compile(rb'("sandbox": )"(?:all|tools)"')

# By path, what is there: kind, mode and content.
State = dict[str, str]

FILLER = "filler"  # what takes the room on a disk that is to be full


def state_of(place: Path) -> State:
    """Look at all below a directory, of which nothing is left out but what fills disks."""
    found: State = {}
    for folder, directories, files in os.walk(place):
        for name in [*directories, *files]:
            path = Path(folder, name)
            if name != FILLER:
                found[str(path.relative_to(place))] = _look(path)
    return found


def below(state: State, unit: str) -> State:
    """Take out of a state what has this path, and what is below it."""
    return {path: what for path, what in state.items() if path == unit or path.startswith(f"{unit}/")}


def without(state: State, units: Iterable[str]) -> State:
    """Take out of a state all that is not below one of these paths."""
    left = dict(state)
    for unit in units:
        for path in below(state, unit):
            left.pop(path, None)
    return left


def _look(path: Path) -> str:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return f"link to {os.readlink(path)}"
    if stat.S_ISREG(status.st_mode):
        data = path.read_bytes()
        if path.suffix == ".json":
            data = _CONFINED.sub(rb"\1", data)
        return f"file {status.st_mode:o} {len(data)} {hashlib.sha256(data).hexdigest()}"
    return f"{status.st_mode:o}"
