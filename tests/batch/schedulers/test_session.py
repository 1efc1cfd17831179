"""What a batch on a cluster says of its workers, and to which of them it gives nothing."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.cluster import Cluster
from support.farm import Farm, Hung

from builder import BuildOptions
from builder.batch.images import parse_list
from builder.batch.on_cluster import run_on_cluster
from builder.batch.report import Outcome
from builder.batch.schedulers.cluster import ClusterUnreachable
from builder.batch.terms import Terms

pytestmark = pytest.mark.heavy


def run(farm: Farm, lines: str, directory: Path, note: Callable[[str], None] = lambda _text: None) -> list[Outcome]:
    jobs = parse_list(lines, "list", directory, BuildOptions())
    return run_on_cluster(jobs, farm.scheduler.address, Terms(), note=note)


def test_a_worker_that_does_not_fit_is_told_of_where_there_is_no_other(tmp_path: Path, farm: Farm, hung: Hung) -> None:
    noted: list[str] = []

    def note(text: str) -> None:
        noted.append(text)
        if len(noted) == 1:
            farm.worker(product=False)
        else:
            farm.scheduler.kill()

    def lose() -> None:
        hung.take()
        farm.workers[0].kill()

    with ThreadPoolExecutor() as executor:
        executor.submit(lose)
        with pytest.raises(ClusterUnreachable):
            run(farm, hung.image(), tmp_path, note)
    assert noted[0] == f"{farm.scheduler.address} has no worker that takes builds; waiting for one"
    assert noted[1].startswith(f"the worker {farm.workers[1].address} is left out: it has no rootfs-builder (")


def test_who_declares_nothing_builds_nothing_also_when_who_did_is_lost(
    tmp_path: Path, cluster: Cluster, hung: Hung
) -> None:
    scheduler = cluster.scheduler()
    workers = [cluster.worker(scheduler, resources={"rootfs-builder": 1}), cluster.worker(scheduler)]
    farm = Farm(cluster, scheduler, workers, "")
    noted: list[str] = []

    def note(text: str) -> None:
        noted.append(text)
        scheduler.kill()

    def lose() -> None:
        hung.take()
        workers[0].kill()
        # Who declares nothing would be given the job now.
        hung.take()
        scheduler.kill()

    with ThreadPoolExecutor() as executor:
        executor.submit(lose)
        with pytest.raises(ClusterUnreachable):
            run(farm, hung.image(), tmp_path, note)
        hung.connect()
    workers[1].kill()
    waiting = "waiting for one with --resources rootfs-builder=1"
    assert noted == [f"{scheduler.address} has no worker that takes builds; {waiting}"]


def test_a_worker_that_is_to_build_nothing_need_not_fit(tmp_path: Path, cluster: Cluster) -> None:
    scheduler = cluster.scheduler()
    workers = [cluster.worker(scheduler, product=False), cluster.worker(scheduler, resources={"rootfs-builder": 1})]
    (outcome,) = run(Farm(cluster, scheduler, workers, ""), f"oci:{tmp_path}/nowhere", tmp_path)
    for process in (scheduler, *workers):
        process.kill()
    assert outcome.error is not None
    assert outcome.error.startswith(f"the worker {workers[1].address}: {tmp_path}/nowhere: ")
