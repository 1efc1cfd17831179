"""The command as users run it: another process, its own words and status."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support.forking import Forks

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"},
    "PYTHONPATH": str(ROOT),
}
_forks = Forks(ENVIRONMENT)


def argv(*words: object) -> list[str]:
    return [sys.executable, "-m", "builder", *map(str, words)]


def run(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `rootfs-builder WORDS`; both outputs come back as text."""
    return run_in(Path(), *words, **environment)


def run_in(place: Path, /, *words: object, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Do the same in a directory, with something to read."""
    environment = {**ENVIRONMENT, **environment}
    if _forks.take(environment):
        return _forks.run(list(map(str, words)), environment, place, stdin)
    return subprocess.run(
        argv(*words), cwd=place, env=environment, input=stdin, capture_output=True, text=True, check=False
    )


def start_until(stage: str, image: str, output: Path, *under: str) -> subprocess.Popen[str]:
    """Start a build, by way of a command `under` which it runs, and return when it has reached a stage."""
    words = [*under, *argv("build", image, "-o", output, "--progress", "plain")]
    process = subprocess.Popen(words, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(stage):
            return process
    raise AssertionError(f"the build ended before {stage!r}")
