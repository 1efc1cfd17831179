"""A process that is confined knows of itself and its machine what it has to know."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from builder.sandbox import landlock, seccomp

NEEDS = "NOT RUN: needs a kernel with Landlock and seccomp: Linux 6.12 or later, with landlock among its lsm="
needs_kernel = pytest.mark.skipif(landlock.version() < 6 or not seccomp.is_there(), reason=NEEDS)

# Some Pythons close what a program is not to have by that list, between fork and exec.
LISTED = """
import sys
from builder.sandbox.process import confine_process
from builder.tool import run_tool

if sys.argv[1] == "process":
    confine_process([], [], "/usr/bin:/bin")
print(run_tool(["ls", "/proc/self/fd"], confined=True).stdout.split()[:3])
"""


@needs_kernel
@pytest.mark.parametrize("what", ["process", "tool"])
def test_what_is_started_finds_its_descriptors_listed(python: Callable[..., str], what: str) -> None:
    assert python(LISTED, what) == "['0', '1', '2']\n"


# What it makes while it is confined, and leaves when it is killed, is of this machine for who comes next.
MARKED = """
import os, sys
from builder.files.litter import write_mark
from builder.sandbox.process import confine_process

marks = []
for name in ("before", "after"):
    place = os.open(os.path.join(sys.argv[1], name), os.O_RDONLY)
    write_mark(place, "name")
    (mark,) = os.listdir(place)
    marks.append(open(os.path.join(sys.argv[1], name, mark)).read())
    confine_process([], [sys.argv[1]], "/usr/bin:/bin")
print(marks[0] == marks[1] and "unknown" not in marks[1])
"""


@needs_kernel
def test_work_directories_are_marked_as_ever(python: Callable[..., str], tmp_path: Path) -> None:
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
    assert python(MARKED, str(tmp_path)) == "True\n"
