"""Scripts start wherever they are called, and without what they import they say in one line what to do."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.command import ENVIRONMENT, ROOT

BARE = [sys.executable, "-S"]  # a Python without packages
SCRIPTS = [
    path.name
    for path in sorted((ROOT / "ci").iterdir())
    if path.is_file() and path.read_bytes().startswith(b"#!/usr/bin/env python3\n")
]
SHELL = [
    path.name
    for path in sorted((ROOT / "ci").iterdir())
    if path.is_file() and path.read_bytes().startswith(b"#!/bin/bash\n")
]
# A script that is asked for help, and in the same process, which has all it imports then, begins once more, for which
# somebody presses Ctrl-C when it comes to its work.
HELPED_AND_INTERRUPTED = """
import runpy, sys

script = sys.argv[1]
words = sys.argv[2:]
sys.path.insert(0, script.rpartition("/")[0])

def interrupt(frame, event, argument):
    if event == "call" and frame.f_code.co_name == "main" and frame.f_code.co_filename == script:
        raise KeyboardInterrupt

sys.argv = [script, "--help"]
try:
    runpy.run_path(script, run_name="__main__")
except SystemExit as ended:
    assert not ended.code, ended.code
sys.argv = [script, *words]
sys.setprofile(interrupt)
runpy.run_path(script, run_name="__main__")
"""
WORDS = {"in-other": ("bookworm", "arm64", "true")}  # without words it comes to no work
BEGUN_ONCE = ("fuzz",)  # this watches all that it imports
WHAT_TO_DO = "what this imports is not installed; run ci/setup test"


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_without_what_it_imports_says_what_to_do(name: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "ci", tmp_path / "ci", ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run(
        [*BARE, tmp_path / "ci" / name, "--help"], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        assert (done.stdout.startswith("usage: "), done.stderr) == (True, "")
    else:
        assert (done.returncode, done.stdout, done.stderr) == (4, "", f"{name}: {WHAT_TO_DO}\n")


@pytest.mark.parametrize("name", SHELL)
def test_a_script_for_a_shell_says_what_its_head_does_when_asked_and_does_nothing(name: str, tmp_path: Path) -> None:
    (tmp_path / "ci").mkdir()
    shutil.copy(ROOT / "ci" / name, tmp_path / "ci")
    done = subprocess.run(
        [tmp_path / "ci" / name, "--help"], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr, f"    ci/{name}" in done.stdout) == (0, "", True)
    assert os.listdir(tmp_path) == ["ci"]


@pytest.mark.heavy
@pytest.mark.parametrize("name", [name for name in SCRIPTS if name not in BEGUN_ONCE])
def test_a_script_says_what_it_does_when_asked_and_nothing_when_interrupted(name: str) -> None:
    argv = [sys.executable, "-c", HELPED_AND_INTERRUPTED, f"{ROOT}/ci/{name}", *WORDS.get(name, ())]
    done = subprocess.run(argv, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert (done.returncode in (130, -signal.SIGINT), done.stderr) == (True, "")
    assert done.stdout.startswith("usage: ")


def test_a_script_goes_on_with_the_checkout_s_own_python(tmp_path: Path) -> None:
    if not (ROOT / ".venv").exists():
        pytest.skip("NOT RUN: needs .venv; ci/setup brings it")
    words: list[str | Path] = [*BARE, ROOT / "ci/bench-input", "--help"]
    done = subprocess.run(words, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("reproduce", "ext5"), "usage: ci/reproduce "),
        (("fuzz", "--repeat", "/etc/passwd"), "/etc/passwd: is no file in a folder that has the name of a target"),
        (("faults", "--again", "earthquake", "build", "1"), "no such kind: earthquake"),
        (("faults", "--step", "0"), "invalid positive value: '0'"),
        (("measure", "oci:image:a", "--rounds", "0"), "--rounds and --room are numbers from 1 on"),
        (("bench-scale", "--rounds", "0"), "--rounds is a number from 1 on"),
    ],
)
def test_words_that_mean_nothing_are_wrong_usage(words: tuple[str, ...], said: str) -> None:
    argv: list[str | Path] = [sys.executable, ROOT / "ci" / words[0], *words[1:]]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
