"""The list of changes that tests must notice follows the code: each can be made, and its tests are there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "ci" / "mutants"


def mutants(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *arguments], check=False, capture_output=True, text=True)


def test_every_change_can_be_made_and_names_tests_that_are_there() -> None:
    done = mutants("--list")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) >= 158


def test_a_word_chooses_changes_by_sentence_and_by_file() -> None:
    lines = mutants("--list", "builder/exact.py").stdout.splitlines()
    assert lines != []
    assert [line for line in lines if not line.startswith("builder/exact.py: ")] == []


def test_words_that_no_change_has_are_wrong_usage() -> None:
    done = mutants("nowhere-at-all", "nor-this")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == (
        "mutants: error: no change is about nowhere-at-all or nor-this (--list shows them all)"
    )
