"""Many processes, and `kill -9` at a hundred random moments: nothing corrupt, nothing lost, nothing left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.command import run

SEED = int(os.environ.get("ROOTFS_BUILDER_TEST_SEED", "20261122"))
KILLS = 100


@pytest.mark.slow
def test_a_hundred_kills_of_pulls_and_collections_harm_nothing(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "support.killing", str(tmp_path), str(SEED), str(KILLS)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, f"seed {SEED}: {ran.stdout}{ran.stderr}"
    report = json.loads(ran.stdout)
    counts = report["counts"]
    assert sum(count for what, count in counts.items() if what.endswith("killed")) >= KILLS, f"seed {SEED}: {report}"
    # Otherwise the moments were badly chosen, and nothing was shown.
    happened = {what for what, count in counts.items() if count > 3}
    assert happened >= {"keep killed", "churn killed", "gc killed", "keep done", "gc done"}, f"seed {SEED}: {report}"
    assert report["recorded"] > 3, f"seed {SEED}: {report}"
    assert min(report["litter"].get(folder, 0) for folder in ("tmp", "leases")) > 0, f"seed {SEED}: {report}"
    assert (report["left"], report["damages"], report["lost"]) == ([], [], []), f"seed {SEED}: {report}"
    verified = run("store", "verify", "--store", tmp_path / "store")
    assert (verified.returncode, verified.stdout) == (0, ""), f"seed {SEED}: {verified.stderr}"
    freed = run("store", "gc", "--store", tmp_path / "store")
    assert freed.stdout == "0 B freed: 0 blobs, 0 temporary files, 0 leases\n", f"seed {SEED}: {freed}"
