"""Faults of every kind, a few of each: `ci/faults` finds nothing, and says so when there is something to find."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from faulting.judging import Judge
from faulting.kills import Kills
from faulting.lacks import Streams
from faulting.running import Ran
from faulting.subjects import Subject

SCRIPT = Path(__file__).parents[2] / "ci" / "faults"
COMMANDS = ("build ext4", "store pull", "batch")

DISK = Subject("build", ("build",), (("d", "disk", "json"),))
OLD, NEW = ({name: f"file {age} {name}" for name in ("d", "disk", "json")} for age in ("old", "new"))
JUDGE = Judge(DISK, OLD, NEW)


def ran(status: int, stderr: str = "", left: tuple[str, ...] = (), hung: bool = False) -> Ran:
    return Ran(status, "", stderr, 1.0, left, hung)


@pytest.mark.parametrize(
    ("end", "found", "wrong"),
    [
        (ran(0), NEW, []),
        (ran(1, "rootfs-builder: error: no\n"), OLD, []),
        (ran(1, "rootfs-builder: error: no\n"), {**OLD, "d": NEW["d"]}, []),
        (ran(0), OLD, ["it ended well, and of ('d', 'disk', 'json') there are [False, False, False]"]),
        (ran(1, "oh\nno\n"), OLD, ["it said 2 lines: 'oh\\nno\\n'"]),
        (ran(1), OLD, ["it said 0 lines: ''"]),
        (ran(-11), OLD, ["status -11: "]),
        (ran(0, left=("mke2fs",)), NEW, ["left running: mke2fs"]),
        (ran(0, "Exception ignored in x\n"), NEW, ["a traceback: Exception ignored in x\n"]),
        (ran(0, hung=True), NEW, ["it did not end"]),
        (ran(0), {**NEW, "litter": "file"}, ["left: litter (file)"]),
        (
            ran(1, "rootfs-builder: error: no\n"),
            {**OLD, "json": NEW["json"]},
            ["published in another order: {'d': False, 'disk': False, 'json': True}"],
        ),
        (
            ran(1, "rootfs-builder: error: no\n"),
            {**OLD, "disk": "file of zeros"},
            ["disk is neither what it was nor what it should be: {'disk': 'file of zeros'}"],
        ),
    ],
)
def test_what_must_not_be_is_found(end: Ran, found: dict[str, str], wrong: list[str]) -> None:
    assert JUDGE.judge(Streams(), "0 closed", end, found) == wrong


def test_what_says_what_it_found_on_standard_output_may_say_no_error() -> None:
    judge = Judge(Subject("verify", ("verify",), lines=range(2)), {}, {})
    assert judge.judge(Streams(), "0 closed", ran(1), {}) == []
    assert judge.judge(Streams(), "0 closed", ran(1, "oh\n"), {}) == ["it said 1 lines: 'oh\\n'"]


def test_only_a_killed_run_may_leave_something_and_only_until_the_next() -> None:
    found = {**OLD, ".d.rootfs-builder": "40700"}
    assert JUDGE.judge(Kills(), "KILL 0.5", ran(-9), found) == []
    assert JUDGE.judge(Kills(), "TERM 0.5", ran(143), found) == ["left: .d.rootfs-builder (40700)"]
    assert JUDGE.settled(ran(0), {**NEW, ".d.rootfs-builder": "40700"}) == ["next run: left: .d.rootfs-builder (40700)"]


@pytest.mark.parametrize(("where", "wrong"), [("<module>", 0), ("main", 1)])
def test_ctrl_c_is_pythons_own_until_the_command_is_ready_for_it(where: str, wrong: int) -> None:
    trace = f'  File "<frozen runpy>", line 88, in _run_code\n  File "/b/__main__.py", line 11, in {where}\n'
    said = ran(-2, f"Traceback (most recent call last):\n{trace}    import x\nKeyboardInterrupt\n")
    assert len(JUDGE.judge(Kills(), "INT 0.5 start", said, OLD)) == wrong


@pytest.mark.slow
@pytest.mark.root
def test_a_few_faults_of_every_kind_find_nothing(tmp_path: Path) -> None:
    words = [sys.executable, str(SCRIPT), "--most", "2", "--scratch", str(tmp_path), "--command", *COMMANDS]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [re.split(r" {2,}", line.strip()) for line in done.stdout.splitlines()]
    kinds = {row[0] for row in rows if len(row) == 7 and row[0] != "fault"}
    assert kinds == {"kill", "room", "call", "source", "permission", "tool", "stream", "limit"}, done.stdout


def test_a_command_that_is_none_is_wrong_usage() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "--kind", "earthquake"], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
