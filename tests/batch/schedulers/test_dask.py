"""A batch on a Dask cluster: a scheduler without this program, and workers that come and go."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.cluster import Cluster
from support.farm import Farm, Hung
from support.images import Spec, layout
from support.processes import wait_until
from support.tars import file, tar

from builder import BuildOptions
from builder.batch.images import Job, parse_list
from builder.batch.on_cluster import run_on_cluster
from builder.batch.report import Outcome
from builder.batch.schedulers.cluster import ClusterRefused, ClusterUnreachable
from builder.batch.schedulers.cluster_worker import slots
from builder.batch.schedulers.session import Session
from builder.batch.terms import Terms
from builder.events import Event, Stage

pytestmark = pytest.mark.heavy


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a small image."""
    layout(tmp_path / "small", Spec((tar(file("a", b"a")),), config={"Cmd": ["/a"]}))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(
    farm: Farm,
    lines: str,
    *,
    fail_fast: bool = False,
    limit: int | None = None,
    finished: Callable[[Outcome], None] = lambda _outcome: None,
    heard: Callable[[Job, Event], None] = lambda _job, _event: None,
    note: Callable[[str], None] = lambda _text: None,
) -> list[Outcome]:
    jobs = parse_list(lines, "list", Path("disks"), BuildOptions())
    terms = Terms(fail_fast=fail_fast, finished=finished, heard=heard)
    return run_on_cluster(jobs, farm.scheduler.address, terms, note=note, limit=limit)


def statuses(outcomes: list[Outcome]) -> list[str]:
    return [outcome.status for outcome in outcomes]


def disks(place: Path) -> list[str]:
    """What is where the disks go, hidden files too; nothing, if that is not there."""
    return sorted(path.name for path in (place / "disks").iterdir()) if (place / "disks").is_dir() else []


def test_disks_land_where_the_client_stands_and_what_builds_say_is_heard(place: Path, farm: Farm) -> None:
    heard: list[tuple[int, str]] = []

    def hear(job: Job, event: Event) -> None:
        if isinstance(event, Stage):
            heard.append((job.line, event.name.split(" (")[0]))

    ended = run(farm, "oci:small\noci:small output=b", heard=hear)
    assert statuses(ended) == ["built", "built"]
    assert disks(place) == ["b.ext4", "b.ext4.json", "small.ext4", "small.ext4.json"]
    assert len({outcome.sha256 for outcome in ended}) == 1
    for line in (1, 2):
        assert [name for number, name in heard if number == line][:2] == ["reading layer 1 of 1", "packing ext4"]
    # A disk that is gone is built again, and not remembered.
    (place / "disks/b.ext4").unlink()
    assert statuses(run(farm, "oci:small\noci:small output=b")) == ["up to date", "built"]


def test_a_failure_says_on_which_worker_it_was(place: Path, farm: Farm) -> None:
    (outcome,) = run(farm, "oci:nowhere")
    assert outcome.error is not None
    assert outcome.error.startswith(f"the worker {farm.workers[0].address}: nowhere: ")


def test_fail_fast_leaves_no_builder_and_no_further_disk(place: Path, farm: Farm, hung: Hung) -> None:
    farm.worker()
    lines = hung.image() + "oci:nowhere\n" + "".join(hung.image(f"d{n}") for n in range(4))
    ended = run(farm, lines, fail_fast=True)
    assert statuses(ended) == ["cancelled", "failed", *["cancelled"] * 4]
    assert farm.builds == []
    assert disks(place) == []


def test_the_job_of_a_worker_that_was_killed_goes_to_another(place: Path, farm: Farm) -> None:
    killed: list[int] = []

    def hear(_job: Job, _event: Event) -> None:
        if not killed:
            killed.append(farm.workers[0].pid)
            farm.workers[0].kill()
            farm.worker()

    # A worker may have finished a disk when it is killed, and not have told.
    assert set(statuses(run(farm, "oci:small\noci:small output=b\n", heard=hear))) <= {"built", "up to date"}
    assert len(killed) == 1
    assert disks(place) == ["b.ext4", "b.ext4.json", "small.ext4", "small.ext4.json"]


def test_a_job_that_takes_its_workers_along_fails_and_says_so(place: Path, farm: Farm, hung: Hung) -> None:
    def kill_whoever_builds() -> None:
        for _ in range(4):
            hung.take()
            farm.workers[-1].kill()
            farm.worker()

    with ThreadPoolExecutor() as executor:
        killing = executor.submit(kill_whoever_builds)
        (outcome,) = run(farm, hung.image())
        killing.result()
    assert outcome.status == "failed"
    assert outcome.error is not None
    last = farm.workers[-2].address
    assert outcome.error.startswith(f"lost 4 times, each time with its worker, the last at {last}; ")
    assert disks(place) == []


def test_when_the_scheduler_goes_the_rest_is_cancelled(place: Path, farm: Farm, hung: Hung) -> None:
    ended: list[Outcome] = []

    def finished(outcome: Outcome) -> None:
        ended.append(outcome)
        if outcome.status == "built":
            hung.take()
            farm.scheduler.kill()

    with pytest.raises(ClusterUnreachable, match=r"^the scheduler tcp://127.0.0.1:\d+: it is gone"):
        run(farm, "oci:small\n" + hung.image() + "oci:small output=b\n", finished=finished)
    assert statuses(ended) == ["built", "cancelled", "cancelled"]
    wait_until(lambda: farm.builds == [])
    assert disks(place) == ["small.ext4", "small.ext4.json"]


def test_a_job_that_nobody_has_when_the_scheduler_goes_is_cancelled_as_well(
    place: Path, farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    give = Session._give

    def lose(session: Session) -> None:
        # As one whose worker is lost just before the scheduler, and that waits for no other yet.
        if session._placement.clear():
            raise ClusterUnreachable(farm.scheduler.address, "it is gone")
        give(session)

    monkeypatch.setattr(Session, "_give", lose)
    ended: list[Outcome] = []
    with pytest.raises(ClusterUnreachable):
        run(farm, "oci:small", finished=ended.append)
    assert statuses(ended) == ["cancelled"]
    assert disks(place) == []


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"product": False}, "it has no rootfs-builder (No module named 'builder'); install "),
        ({"before": "import builder.version as v; v.VERSION = '9.9'"}, "it has rootfs-builder 9.9, and here is "),
        ({"before": "import builder.batch.messages as m; m.FORM = 0"}, "it has rootfs-builder with messages of form 0"),
        ({"before": "distributed.__version__ = '2019.1'"}, "it has Dask 2019.1, and here is "),
    ],
)
def test_a_worker_that_does_not_fit_is_refused(place: Path, farm: Farm, how: dict[str, object], reason: str) -> None:
    worker = farm.worker(**how)
    with pytest.raises(ClusterRefused) as caught:
        run(farm, "oci:small")
    assert str(caught.value).startswith(f"the worker {worker.address}: {reason}")
    assert disks(place) == []


def test_a_worker_that_does_not_fit_and_comes_late_is_left_out(place: Path, farm: Farm, hung: Hung) -> None:
    noted: list[str] = []

    def note(text: str) -> None:
        noted.append(text)
        farm.worker()

    def come_late() -> None:
        hung.take()
        farm.worker(product=False)

    def finished(_outcome: Outcome) -> None:
        raise KeyboardInterrupt

    with ThreadPoolExecutor() as executor:
        executor.submit(come_late)
        with pytest.raises(KeyboardInterrupt):
            run(farm, hung.image() + "oci:small", finished=finished, note=note)
    assert [text.partition(": ")[2].partition(" (")[0] for text in noted] == ["it has no rootfs-builder"]
    assert farm.builds == []
    assert disks(place) == ["small.ext4", "small.ext4.json"]


@pytest.mark.parametrize(
    ("status", "threads", "resources", "limited", "taken"),
    [
        ("running", 4, {}, False, 4),
        ("running", 4, {"rootfs-builder": 2.0}, True, 2),
        # Dask runs no more tasks than it has threads.
        ("running", 4, {"rootfs-builder": 9.0}, True, 4),
        ("running", 4, {"GPU": 2.0}, True, 0),
        ("paused", 4, {}, False, 0),
        ("closing_gracefully", 4, {"rootfs-builder": 2.0}, True, 0),
    ],
)
def test_a_worker_takes_as_many_builds_as_it_declares_or_has_threads(
    status: str, threads: int, resources: dict[str, float], limited: bool, taken: int
) -> None:
    assert slots({"status": status, "nthreads": threads, "resources": resources}, limited) == taken


def test_images_that_share_a_layer_follow_each_other_on_a_machine_with_no_pause_between(
    place: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builder.batch.schedulers.workers.LOOK_SECONDS", 3600.0)
    # Nobody asks a worker again that takes longer.
    monkeypatch.setattr("builder.batch.schedulers.workers.WORKER_SECONDS", 3600.0)
    bases = [tar(file("base", name * 1000)) for name in (b"a", b"b")]
    for name, base in (("a1", 0), ("b1", 1), ("a2", 0), ("b2", 1)):
        layout(place / name, Spec((bases[base], tar(file("own", name.encode()))), config={"Cmd": ["/a"]}))
    scheduler = cluster.scheduler()
    # Two machines, so that it matters who builds what.
    farm = Farm(cluster, scheduler, [cluster.worker(scheduler), cluster.worker(scheduler, host="127.0.0.2")], "")
    order: list[str] = []
    # With one build at a time, the first machine always has room.
    lines = "oci:a1\noci:b1\noci:a2\noci:b2"
    run(farm, lines, limit=1, finished=lambda outcome: order.append(outcome.reference))
    for process in (scheduler, *farm.workers):
        process.kill()
    assert order == ["oci:a1", "oci:a2", "oci:b1", "oci:b2"]


@pytest.mark.root
def test_a_worker_that_does_not_see_where_disks_go_is_refused(place: Path, farm: Farm) -> None:
    (place / "disks").mkdir()
    # As on a machine of its own: something else is mounted there.
    hide = f"""
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
assert libc.unshare(0x20000) == 0  # CLONE_NEWNS
assert libc.mount(b"none", b"/", None, 0x44000, None) == 0  # MS_REC | MS_PRIVATE
assert libc.mount(b"tmpfs", os.fsencode({str(place / "disks")!r}), b"tmpfs", 0, None) == 0
"""
    worker = farm.worker(before=hide)
    with pytest.raises(ClusterRefused) as caught:
        run(farm, "oci:small")
    assert str(caught.value) == (
        f"the worker {worker.address}: it does not see {place / 'disks'}; "
        "build where the workers' machines share a directory"
    )
    assert disks(place) == []
