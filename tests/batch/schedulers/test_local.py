"""Any executor of this machine is a scheduler: what it runs can be heard, and taken back."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest
from support.command import ROOT
from support.images import Spec, layout
from support.processes import builders, wait_until
from support.tars import file, tar

from builder import BuildOptions
from builder.batch import process
from builder.batch.images import Job, parse_list
from builder.batch.report import Outcome
from builder.batch.run import run_batch
from builder.batch.terms import Terms
from builder.events import Event, Stage

pytestmark = pytest.mark.heavy

EXECUTORS: dict[str, Callable[[], Executor]] = {
    "threads": lambda: ThreadPoolExecutor(2),
    "forked processes": lambda: ProcessPoolExecutor(2, multiprocessing.get_context("fork")),
    "spawned processes": lambda: ProcessPoolExecutor(2, multiprocessing.get_context("spawn")),
}


@pytest.fixture(params=EXECUTORS)
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    with EXECUTORS[request.param]() as made:
        yield made


@pytest.fixture
def place(tmp_path: Path, slow_layout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a small image and one that takes a while."""
    layout(tmp_path / "small", Spec((tar(file("a", b"a")),)))
    (tmp_path / "slow").symlink_to(slow_layout)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BATCH_OF", str(tmp_path))
    return tmp_path


def run(
    executor: Executor,
    lines: str,
    *,
    fail_fast: bool = False,
    finished: Callable[[Outcome], None] = lambda _outcome: None,
    heard: Callable[[Job, Event], None] = lambda _job, _event: None,
) -> list[tuple[str, str]]:
    jobs = parse_list(lines, "list", Path("disks"), BuildOptions())
    ended = run_batch(jobs, executor, Terms(fail_fast=fail_fast, finished=finished, heard=heard))
    return [(outcome.reference, outcome.status) for outcome in ended]


def disks(place: Path) -> list[str]:
    """What is where the disks go, hidden files too; nothing, if that is not there."""
    return sorted(path.name for path in (place / "disks").iterdir()) if (place / "disks").is_dir() else []


def test_disks_land_where_the_client_stands(
    place: Path, executor: Executor, tmp_path_factory: pytest.TempPathFactory
) -> None:
    executor.submit(os.chdir, tmp_path_factory.mktemp("elsewhere")).result()
    os.chdir(place)
    assert run(executor, "oci:small\noci:small output=b") == [("oci:small", "built"), ("oci:small", "built")]
    assert disks(place) == ["b.ext4", "b.ext4.json", "small.ext4", "small.ext4.json"]


def test_the_builds_of_a_batch_are_forked_from_one_process(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start, started = process._start, []

    def watched(idle: float) -> process._Ready:
        started.append(start(idle))
        return started[-1]

    monkeypatch.setattr(process, "_start", watched)
    with ThreadPoolExecutor(2) as executor:
        for _ in range(2):
            lines = "".join(f"oci:small output={number} force=yes\n" for number in range(4))
            assert run(executor, lines) == [("oci:small", "built")] * 4
    # One for each of the batches, and none is left.
    assert len(started) == 2
    assert builders(f"BATCH_OF={place}") == []


def test_what_a_build_says_is_heard_with_its_job(place: Path, executor: Executor) -> None:
    heard: list[tuple[int, str]] = []

    def hear(job: Job, event: Event) -> None:
        if isinstance(event, Stage):
            heard.append((job.line, event.name.split(" (")[0]))

    run(executor, "oci:small\noci:small output=b", heard=hear)
    for line in (1, 2):
        assert [name for number, name in heard if number == line][:2] == ["reading layer 1 of 1", "packing ext4"]


def test_fail_fast_leaves_no_builder_and_no_further_disk(place: Path, executor: Executor) -> None:
    begun: list[str] = []
    lines = "oci:slow\n" + "oci:nowhere\n" + "".join(f"oci:slow output={n}\n" for n in range(8))
    ended = run(executor, lines, fail_fast=True, heard=lambda job, event: begun.append(job.reference))
    assert ended == [("oci:slow", "cancelled"), ("oci:nowhere", "failed"), *[("oci:slow", "cancelled")] * 8]
    assert builders(f"BATCH_OF={place}") == []
    assert disks(place) == []


def test_whoever_cannot_hear_any_more_holds_up_no_build(place: Path, executor: Executor) -> None:
    def hear(_job: Job, _event: Event) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        run(executor, "oci:small", heard=hear)
    assert disks(place) == ["small.ext4", "small.ext4.json"]


def test_an_exception_of_whoever_counts_leaves_no_builder(place: Path, executor: Executor) -> None:
    def finished(_outcome: Outcome) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(executor, "oci:small\noci:slow\noci:slow output=b", finished=finished)
    assert builders(f"BATCH_OF={place}") == []
    assert [name for name in disks(place) if not name.startswith("small")] == []


def test_a_job_whose_executor_loses_its_worker_has_failed_and_its_build_gives_up(place: Path) -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        ended = run(executor, "oci:slow", heard=lambda _job, _event: os.kill(worker_of(executor), signal.SIGKILL))
    assert ended == [("oci:slow", "failed")]
    wait_until(lambda: builders(f"BATCH_OF={place}") == [] and disks(place) == [])


def worker_of(executor: ProcessPoolExecutor) -> int:
    (pid,) = executor._processes
    return pid


CLIENT = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from builder import BuildOptions
from builder.batch.images import parse_list
from builder.batch.run import run_batch
from builder.batch.terms import Terms
kind = {"threads": ThreadPoolExecutor, "processes": ProcessPoolExecutor}[sys.argv[1]]
jobs = parse_list("oci:slow", "list", Path("disks"), BuildOptions())
with kind(1) as executor:
    run_batch(jobs, executor, Terms(finished=print, heard=lambda *_: print(flush=True)))
"""


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_the_builds_of_a_client_that_was_killed_give_up(place: Path, kind: str) -> None:
    temporary = place / "tmp"
    temporary.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}
    command = [sys.executable, "-c", CLIENT, kind]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, process_group=0) as client:
        assert client.stdout is not None
        client.stdout.readline()
        assert len(builders(f"BATCH_OF={place}", ready=False)) == 1
        client.kill()
        wait_until(lambda: builders(f"BATCH_OF={place}") == [] and disks(place) == [])
        assert list(temporary.iterdir()) == []
        # Python leaves the processes of a pool behind.
        os.killpg(client.pid, signal.SIGKILL)
