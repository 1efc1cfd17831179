"""Code that is confined runs in a process of its own: it gives up for ever."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.command import ENVIRONMENT


@pytest.fixture
def python() -> Callable[..., str]:
    def run_code(code: str, *words: str) -> str:
        tests = Path(__file__).parents[1]
        environment = {**ENVIRONMENT, "PYTHONPATH": f"{tests.parent}:{tests}"}
        argv = [sys.executable, "-c", code, *words]
        return subprocess.run(argv, env=environment, capture_output=True, text=True, check=True).stdout

    return run_code
