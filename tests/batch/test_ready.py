"""The process that is ready to build: what it forks shares nothing, and whatever ends it costs no image."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from support.farm import Hung
from support.images import Spec, layout
from support.leaks import no_descriptor_left
from support.processes import alive, children, wait_until
from support.tars import file, tar

from builder import BuildOptions
from builder.batch import process
from builder.batch.images import Job, parse_list
from builder.batch.messages import read_outcome, write_job
from builder.batch.process import Builders, BuildLost
from builder.batch.report import BUILT, CANCELLED, Outcome
from builder.batch.schedulers.lifeline import Lifeline

pytestmark = pytest.mark.heavy


@pytest.fixture
def lifeline() -> Iterator[str]:
    """One that is held as long as the test goes on."""
    # POSIX locks are of processes: those of the one that holds it do not keep others of it waiting.
    with closing(Lifeline()) as held:
        yield held.path


@pytest.fixture
def builders() -> Iterator[Builders]:
    with closing(Builders()) as made:
        yield made


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with an image."""
    layout(tmp_path / "image", Spec((tar(file("a", b"a")),)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def build(
    builders: Builders,
    lifeline: str,
    output: str,
    hear: Callable[[str], None] = lambda _line: None,
    image: str = "image",
) -> Outcome:
    job = Job(1, f"oci:{image}", Path(output), BuildOptions())
    return read_outcome(builders.build(write_job(job, os.getcwd()), lifeline, hear))


def ready(builders: Builders) -> int:
    """The process that is ready to build."""
    assert builders._ready is not None
    return builders._ready.process.pid


def opened(pid: int) -> int:
    """How many descriptors a process has."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_nothing_is_left_of_one_image_for_the_next(place: Path, builders: Builders, lifeline: str) -> None:
    assert build(builders, lifeline, "0.ext4").status == BUILT
    first = ready(builders), opened(ready(builders))
    with no_descriptor_left():
        for number in range(1, 6):
            assert build(builders, lifeline, f"{number}.ext4").status == BUILT
            assert (ready(builders), opened(ready(builders))) == first
    assert children(ready(builders)) == []
    assert len({Path(f"{number}.ext4").read_bytes() for number in range(6)}) == 1


def test_a_build_that_has_ended_waits_for_none_that_was_forked_while_it_ran(
    place: Path, builders: Builders, lifeline: str, hung: Hung
) -> None:
    with closing(Lifeline()) as other, ThreadPoolExecutor(1) as executor:
        (endless,) = parse_list(hung.image(), "list", Path("disks"), BuildOptions())
        begun: list[Future[str]] = []

        def begin_another(_line: str) -> None:
            if not begun:
                begun.append(
                    executor.submit(builders.build, write_job(endless, str(place)), other.path, lambda _line: None)
                )
                hung.take()

        assert build(builders, lifeline, "a.ext4", begin_another).status == BUILT
        assert not begun[0].done()
        other.cut()
        assert read_outcome(begun[0].result()).status == CANCELLED


def test_a_build_that_is_killed_costs_nobody_else_anything(
    place: Path, slow_layout: Path, builders: Builders, lifeline: str
) -> None:
    killed = threading.Event()

    def kill(_line: str) -> None:
        if not killed.is_set():
            (builder,) = children(ready(builders))
            os.kill(builder, signal.SIGKILL)
            killed.set()

    with ThreadPoolExecutor(1) as executor:
        lost = executor.submit(build, builders, lifeline, "slow.ext4", kill, str(slow_layout))
        with pytest.raises(BuildLost, match="was killed by signal 9"):
            lost.result()
    first = ready(builders)
    assert build(builders, lifeline, "a.ext4").status == BUILT
    assert ready(builders) == first


def test_builds_go_on_though_what_forked_them_is_killed_and_the_next_has_another(
    place: Path, builders: Builders, lifeline: str
) -> None:
    killed: list[int] = []

    def kill(_line: str) -> None:
        if not killed:
            killed.append(ready(builders))
            os.kill(killed[0], signal.SIGKILL)

    assert build(builders, lifeline, "a.ext4", kill).status == BUILT
    assert build(builders, lifeline, "b.ext4").status == BUILT
    assert ready(builders) not in killed


def test_what_is_ready_ends_by_itself_when_nobody_asks_and_a_build_starts_another(place: Path, lifeline: str) -> None:
    with closing(Builders(idle=0.5)) as builders:
        assert build(builders, lifeline, "a.ext4").status == BUILT
        first = ready(builders)
        wait_until(lambda: not alive(first))
        assert build(builders, lifeline, "b.ext4").status == BUILT
        assert ready(builders) != first


def test_many_at_a_time_are_forked_from_one(place: Path, builders: Builders, lifeline: str) -> None:
    with ThreadPoolExecutor(4) as executor:
        built = list(executor.map(lambda number: build(builders, lifeline, f"{number}.ext4").status, range(8)))
    assert built == [BUILT] * 8
    assert children(ready(builders)) == []


def test_nothing_that_was_ready_is_left_by_who_closes_it(place: Path, builders: Builders, lifeline: str) -> None:
    assert build(builders, lifeline, "a.ext4").status == BUILT
    pid = ready(builders)
    builders.close()
    assert not Path(f"/proc/{pid}").exists()


def test_a_program_that_cannot_even_begin_is_given_up(
    place: Path, builders: Builders, lifeline: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_START", "raise SystemExit(9)")
    with pytest.raises(BuildLost, match=r"^the process for its build ended with status 9 before it began; "):
        build(builders, lifeline, "a.ext4")


IGNORING = """
import signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
from builder.batch.ready"""


def test_builds_are_waited_for_though_whoever_started_the_batch_does_not_want_to_hear_of_children(
    place: Path, builders: Builders, lifeline: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_START", process._START.replace("from builder.batch.ready", IGNORING))
    assert build(builders, lifeline, "a.ext4").status == BUILT
    first = ready(builders)
    assert build(builders, lifeline, "b.ext4").status == BUILT
    assert ready(builders) == first


# What is ready has no room for one process more, as where a cgroup or a user may have no more of them.
NO_FORK = """
import errno, os
def no_fork():
    raise OSError(errno.EAGAIN, "")
os.fork = no_fork
from builder.batch.ready"""


def test_where_no_more_processes_are_to_be_had_the_system_s_own_error_says_so(
    place: Path, builders: Builders, lifeline: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_START", process._START.replace("from builder.batch.ready", NO_FORK))
    with pytest.raises(BlockingIOError):
        build(builders, lifeline, "a.ext4")
