"""A machine of another kind makes the same disks: all that is ours runs there, and mke2fs and mkfs.erofs of Debian."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from support.command import ROOT

GOLDEN = json.loads((ROOT / "tests/actions/golden.json").read_text())
# One process for both: emulated, its start takes seconds.
BUILDS = """
import json, sys
from builder.cli.main import run

sys.exit(any(run(words) for words in json.loads(sys.argv[1])))
"""


def kernel() -> tuple[int, ...]:
    return tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2])


def test_what_a_killed_maker_of_a_system_left_is_removed_by_the_next(tmp_path: Path) -> None:
    script = runpy.run_path(f"{ROOT}/ci/in-other")
    (tmp_path / "new-abc/made/root").mkdir(parents=True)
    (tmp_path / "bookworm-arm64").mkdir()
    with script["making"](tmp_path):
        assert sorted(os.listdir(tmp_path)) == ["bookworm-arm64", "lock"]


@pytest.mark.slow
@pytest.mark.root
def test_disks_are_the_same_on_aarch64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if kernel() < (6, 7):
        pytest.skip("NOT RUN: needs a kernel with an emulator for each user namespace: Linux 6.7 or later")
    monkeypatch.syspath_prepend(ROOT / "ci")
    from reproducing.building import WORDS, make_inputs

    make_inputs(tmp_path / "inputs")
    disks = ["disk.ext4", "disk.erofs"]
    words = [*WORDS, "oci:inputs/image", "--add", "inputs/added:/srv"]
    builds = json.dumps([[*words, "--metadata-file", f"{disk}.json", "-o", disk] for disk in disks])
    release = platform.freedesktop_os_release()["VERSION_CODENAME"]
    argv = [sys.executable, f"{ROOT}/ci/in-other", release, "arm64", "python3", "-P", "-c", BUILDS, builds]
    subprocess.run(argv, cwd=tmp_path, env=os.environ | {"TMPDIR": str(tmp_path)}, check=True, stdout=subprocess.PIPE)
    for disk in disks:
        tools = json.loads((tmp_path / f"{disk}.json").read_text())["tools"]
        known = {made["sha256"] for made in GOLDEN if (made["format"], made["tools"]) == (disk.split(".")[1], tools)}
        assert known == {hashlib.sha256((tmp_path / disk).read_bytes()).hexdigest()}
