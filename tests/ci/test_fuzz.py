"""A campaign of `ci/fuzz` gives every target its turn, ends when it may, and says how to repeat what it found."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import pytest
from support.command import ROOT
from support.fuzz.table import ONE_IN, TARGETS

SCRIPT = ROOT / "ci/fuzz"
# The same in a checkout of its own, with two targets: one that stands all, and one that does not.
WITH_A_FAULT = """
import runpy, sys
from pathlib import Path
script, root, *words = sys.argv[1:]
sys.path.insert(0, script.rpartition("/")[0])
names = runpy.run_path(script)
here = names["main"].__globals__
here["TARGETS"].clear()
from support.fuzz.target import Target
def faulty(data):
    assert data.startswith(b"seed")
for name, run in dict(sound=len, faulty=faulty).items():
    here["TARGETS"][name] = Target(run, lambda: [b"seed"])
here["ROOT"] = Path(root)
here["FINDS"], here["KEPT"] = Path(root, "finds"), Path(root, "kept")
here["TALLIES"] = Path(root, "kept/tallies")
sys.argv = [script, *words]
sys.exit(here["main"]())
"""


def fuzz(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *words], capture_output=True, text=True, check=False)


def fuzz_with_a_fault(place: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", WITH_A_FAULT, SCRIPT, place, *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def executions(said: str) -> dict[str, int]:
    return {name: int(count) for name, count in re.findall(r"^(\S+) +(\d+) executions", said, re.MULTILINE)}


@pytest.mark.heavy
def test_a_campaign_gives_each_target_turns_until_the_time_of_all_is_up() -> None:
    done = fuzz("acl", "address", "--in-all", "4", "--seed", "7")
    counts = executions(done.stdout)
    assert (done.returncode, done.stderr, set(counts)) == (0, "", {"acl", "address"})
    assert min(counts.values()) > 100
    first, *_, last = done.stdout.splitlines()
    assert first == "seed 7"
    assert re.fullmatch(rf"{sum(counts.values())} executions in \d+ s of the processor, seed 7, 0 finds", last)


@pytest.mark.heavy
def test_a_campaign_may_be_of_so_many_inputs_for_each_target_and_of_fewer_where_one_takes_long() -> None:
    done = fuzz("acl", "address", "layer", "--executions", "300")
    assert (done.returncode, done.stderr) == (0, "")
    assert executions(done.stdout) == {"acl": 300, "address": 300, "layer": 100}
    assert set(ONE_IN) < set(TARGETS)


@pytest.mark.heavy
def test_what_is_found_is_kept_and_said_with_how_to_repeat_it(tmp_path: Path) -> None:
    done = fuzz_with_a_fault(tmp_path, "sound", "faulty", "--in-all", "3")
    assert (done.returncode, done.stderr) == (1, "")
    *_, last = done.stdout.splitlines()
    again = last.removeprefix("once more: ci/fuzz --repeat ").split()
    assert again
    assert {(tmp_path / name).parent for name in again} == {tmp_path / "finds/faulty"}
    for name in again:
        found = (tmp_path / name).read_bytes()
        assert not found.startswith(b"seed")
        if len(found) <= 1024:
            assert f"  {name}: base64 {b64encode(found).decode()}\n" in done.stdout
    repeated = fuzz_with_a_fault(tmp_path, "--repeat", *(tmp_path / name for name in again))
    assert (repeated.returncode, repeated.stdout.count("AssertionError")) == (1, len(again))


@pytest.mark.heavy
def test_campaigns_of_other_nights_and_machines_add_up(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for place in (one, other, other):
        fuzz_with_a_fault(place, "sound", "--seconds", "0.5", "--keep")
    shutil.copytree(other / "kept", one / "kept", dirs_exist_ok=True)
    tallies = [path.read_text().split() for path in (one / "kept/tallies").iterdir()]
    assert len(tallies) == 3
    table = fuzz_with_a_fault(one, "--tally").stdout
    assert f"| sound | {sum(int(counts[1]) for counts in tallies):,} |" in table


@pytest.mark.heavy
def test_under_a_limit_of_memory_that_is_not_its_own_nothing_is_called_a_find() -> None:
    done = subprocess.run(["prlimit", f"--as={4 << 30}", sys.executable, SCRIPT, "acl"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "begin without `ulimit -v`" in done.stderr
