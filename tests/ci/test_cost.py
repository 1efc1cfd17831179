"""Marks say what takes long, and `--cost` names what has none."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

TESTS = f"""
import subprocess, time
import pytest

TAKE = "import time; end = time.process_time() + 1\\nwhile time.process_time() < end: pass"

def test_nothing(): pass
def test_itself(): exec(TAKE)
def test_child(): subprocess.run([{sys.executable!r}, "-c", TAKE], check=True)

@pytest.mark.heavy
def test_heavy(): exec(TAKE)

@pytest.mark.slow
def test_slow(): pass

@pytest.mark.root
@pytest.mark.heavy
def test_root(): pass
"""


def run(tests: Path, marks: str, *words: str) -> str:
    argv = [sys.executable, "-m", "pytest", "-v", "-c", f"{ROOT}/pyproject.toml", f"--rootdir={ROOT}", "-p", "conftest"]
    argv += ["-p", "no:cacheprovider", f"--basetemp={tests.parent}/pytest", "-m", marks, *words, str(tests)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}/tests:{ROOT}", "PYTEST_ADDOPTS": ""}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.heavy
@pytest.mark.parametrize("workers", [0, 1])
def test_what_takes_long_of_the_processor_and_has_no_mark_is_named(tmp_path: Path, workers: int) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    said = run(tmp_path / "test_it.py", "not root", "--cost", f"-n{workers}")
    assert re.search(r"^5 tests: [3-9] s of the processor$", said, re.MULTILINE)
    assert sorted(re.findall(r"s without a mark, over 0\.3 s: .*::(\w+)$", said, re.MULTILINE)) == [
        "test_child",
        "test_itself",
    ]


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("marks", "there"),
    [
        ("not slow and not root", {"nothing", "itself", "child"}),
        ("heavy and not root", {"heavy"}),
        ("root or (slow and not heavy)", {"slow", "root"}),
    ],
)
def test_what_is_heavy_is_slow_too_and_each_test_is_run_in_one_part(
    tmp_path: Path, marks: str, there: set[str]
) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    assert set(re.findall(r"::test_(\w+)", run(tmp_path / "test_it.py", marks, "--collect-only", "-q", "-q"))) == there
    assert f'-m "{marks}"' in (ROOT / "ci" / "test").read_text()
