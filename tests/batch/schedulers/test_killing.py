"""Many images on a cluster whose workers are killed one after the other: every disk is as it is without."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.farm import Farm
from support.images import Spec, layout
from support.tars import file, tar

from builder import BuildOptions
from builder.batch.images import Job, parse_list
from builder.batch.on_cluster import run_on_cluster
from builder.batch.terms import Terms
from builder.events import Event, Stage

pytestmark = pytest.mark.slow

IMAGES = 20
KILLED = 6


def test_killed_workers_cost_no_image_and_change_no_disk(
    tmp_path: Path, farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    base = tar(*(file(f"base/{n}", bytes([n]) * 10_000) for n in range(20)))
    for n in range(IMAGES):
        # Each twice, so that a disk can be compared with another that was built elsewhere.
        layout(tmp_path / f"i{n}", Spec((base, tar(file("own", b"%d" % (n // 2)))), config={"Cmd": ["/own"]}))
    for _ in range(3):
        farm.worker()
    begun: list[int] = []

    def hear(job: Job, event: Event) -> None:
        # By what builds say, not by the clock: always one that has something to do.
        if isinstance(event, Stage) and event.name.startswith("packing") and job.line not in begun:
            begun.append(job.line)
            if len(begun) % 3 == 0 and len(begun) // 3 <= KILLED:
                farm.workers.pop(0).kill()
                farm.worker()

    jobs = parse_list("".join(f"oci:i{n}\n" for n in range(IMAGES)), "list", Path("disks"), BuildOptions())
    ended = run_on_cluster(jobs, farm.scheduler.address, Terms(heard=hear))
    assert {outcome.error for outcome in ended} == {None}
    # A worker may have finished a disk when it is killed, and have told nothing of it.
    found = {outcome.line for outcome in ended if outcome.status == "up to date"}
    assert len({*begun, *found}) == IMAGES
    digests = [outcome.sha256 for outcome in ended]
    assert digests[::2] == digests[1::2]
    assert len(set(digests)) == IMAGES // 2
    assert len(list((tmp_path / "disks").iterdir())) == 2 * IMAGES
