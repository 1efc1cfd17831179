"""The same disks as ever: their digests are on record for generations of tools; ci/reproduce --digests gives them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.command import ROOT

GOLDEN = json.loads(Path(__file__).with_name("golden.json").read_text())


@pytest.fixture(scope="module")
def made() -> list[dict[str, object]]:
    ran = subprocess.run(
        [sys.executable, ROOT / "ci/reproduce", "--digests"], check=True, capture_output=True, text=True
    )
    return list(json.loads(ran.stdout))


@pytest.mark.heavy
@pytest.mark.parametrize("number", [0, 1])
def test_disks_are_what_they_were(made: list[dict[str, object]], number: int) -> None:
    known = [
        each for each in GOLDEN if (each["format"], each["tools"]) == (made[number]["format"], made[number]["tools"])
    ]
    if not known:
        pytest.skip(f"no digest is on record for {made[number]['tools']}; ci/reproduce --digests gives it")
    assert known == [made[number]]


def test_both_formats_are_on_record_once_for_the_same_tools() -> None:
    keys = [(each["format"], json.dumps(each["tools"], sort_keys=True)) for each in GOLDEN]
    assert len(set(keys)) == len(keys)
    assert {format for format, _ in keys} == {"ext4", "erofs"}
