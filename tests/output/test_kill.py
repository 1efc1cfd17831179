"""`kill -9` at each step of a build: nothing half, nothing that contradicts, nothing that the next build leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.moves import shifts


@pytest.mark.slow
def test_whatever_step_is_the_last_outputs_are_whole_and_the_next_build_clears_up(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "support.dying", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    steps = json.loads(ran.stdout)
    # Where the host can, the disk is the file in which the content came.
    assert steps.count("link") == shifts(tmp_path)
    # Otherwise the steps were badly chosen, and nothing was shown.
    assert [steps.count(name) for name in ("replace", "mkdir", "rmdir")] == [3, 3, 3]
    assert steps.count("fsync") == 3 + 2 * 3
