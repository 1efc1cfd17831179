"""Work directories: private, gone at the end, one at a time for one output, and swept when their process was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from support.command import ENVIRONMENT

from builder.errors import OutputError
from builder.events import Event, Notice
from builder.files.workspace import OutputBusy, Workspace, workspace, workspace_of

WORK = """
import sys, time
from pathlib import Path
from builder.files.workspace import workspace, workspace_of
with %s as work:
    (work.path / 'half').write_bytes(b'half')
    print(work.path.resolve(), flush=True)
    sys.stdin.read()
"""


@contextmanager
def at_work(call: str, *arguments: str | Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Another process that is in a work directory, until its standard input ends; and that directory."""
    with subprocess.Popen(
        [sys.executable, "-c", WORK % call, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    ) as process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())


def names(place: Path) -> list[str]:
    return sorted(os.listdir(place))


def test_a_workspace_is_private_and_gone_afterwards(tmp_path: Path) -> None:
    with workspace(tmp_path, "rootfs.ext4") as work:
        real = work.path.resolve()
        assert real.parent == tmp_path
        assert real.stat().st_mode & 0o777 == 0o700
        (work.path / "deep" / "er").mkdir(parents=True)
        assert (real / "deep" / "er").is_dir()
    assert names(tmp_path) == []


@pytest.mark.parametrize("call", [lambda place: workspace(place, "x"), lambda place: workspace_of(place / "x")])
def test_a_workspace_is_gone_after_a_failure(
    tmp_path: Path, call: Callable[[Path], AbstractContextManager[Workspace]]
) -> None:
    def fail() -> None:
        with call(tmp_path) as work:
            (work.path / "spool").write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert names(tmp_path) == []


def test_a_build_that_ends_before_its_workspace_is_locked_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_fd: int, _operation: int) -> None:
        assert len(names(tmp_path)) == 1
        raise KeyboardInterrupt

    monkeypatch.setattr("fcntl.flock", interrupted)
    with pytest.raises(KeyboardInterrupt), workspace(tmp_path, "x"):
        pass
    assert names(tmp_path) == []


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_uses_is_not(tmp_path: Path) -> None:
    with at_work("workspace(Path(sys.argv[1]), 'x')", tmp_path) as (process, theirs):
        with workspace(tmp_path, "y") as ours:
            assert names(tmp_path) == sorted([theirs.name, ours.path.resolve().name])
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (theirs / "half").exists()
    with workspace(tmp_path, "y") as ours:
        assert names(tmp_path) == [ours.path.resolve().name]


@pytest.mark.parametrize("length", [0, 10, 10_000])
def test_a_process_that_is_killed_while_it_marks_its_directory_leaves_litter_only(tmp_path: Path, length: int) -> None:
    with at_work("workspace(Path(sys.argv[1]), 'x')", tmp_path) as (process, theirs):
        process.kill()
        process.wait()
    (theirs / "half").unlink()
    mark = (theirs / "mark").read_bytes()
    (theirs / "mark").write_bytes(mark[:length])
    if length == 0:
        (theirs / "mark").unlink()
    with workspace(tmp_path, "y"):
        pass
    assert names(tmp_path) == []


def test_a_workspace_that_was_moved_away_is_emptied_and_what_has_its_name_is_left(tmp_path: Path) -> None:
    with workspace(tmp_path, "x") as work:
        real = work.path.resolve()
        real.rename(tmp_path / "moved")
        real.mkdir()
        (work.path / "half").write_bytes(b"half")
    assert names(tmp_path) == sorted([real.name, "moved"])
    assert names(tmp_path / "moved") == names(real) == []


def test_one_process_at_a_time_has_the_workspace_of_an_output(tmp_path: Path) -> None:
    heard: list[Event] = []
    with at_work("workspace_of(Path(sys.argv[1], 'x'))", tmp_path) as (process, theirs):
        with workspace_of(tmp_path / "y"):
            pass
        with pytest.raises(OutputBusy, match=f"x: process {process.pid} is at work on it"):
            with workspace_of(tmp_path / "x", wait=False):
                pass

        def let_go(event: Event) -> None:
            heard.append(event)
            assert process.stdin is not None
            process.stdin.close()

        with workspace_of(tmp_path / "x", let_go) as work:
            assert process.wait() == 0
            assert work.path.resolve() == theirs
            assert names(theirs) == ["mark"]
    assert heard == [Notice(f"{tmp_path}/x: process {process.pid} is at work on it; waiting for its end")]
    assert names(tmp_path) == []


def test_the_workspace_of_an_output_that_was_killed_is_taken_over(tmp_path: Path) -> None:
    with at_work("workspace_of(Path(sys.argv[1], 'x'))", tmp_path) as (process, theirs):
        process.kill()
        process.wait()
    with workspace_of(tmp_path / "x", wait=False) as work:
        assert (work.path.resolve(), names(theirs)) == (theirs, ["mark"])
    assert names(tmp_path) == []


def test_names_as_long_as_a_name_may_be_work_and_stay_apart(tmp_path: Path) -> None:
    for name in ("n" * 255, "ü" * 125):
        with workspace_of(tmp_path / name, wait=False), workspace_of(tmp_path / f"{name[:-1]}.", wait=False):
            assert len(names(tmp_path)) == 2


def test_a_place_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="nowhere"), workspace(tmp_path / "nowhere", "x"):
        pass


# All memory that there is stays taken, as by a frame that a traceback holds, until the directory is left.
SHORT = """
import resource, sys
from contextlib import suppress
from pathlib import Path
from builder.files.workspace import workspace
said = []
with suppress(MemoryError), workspace(Path(sys.argv[1]), "disk", said.append) as work:
    (work.path / "folder").mkdir()
    for number in range(20):
        (work.path / f"folder/{number}").write_bytes(b"half")
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (4 << 20),) * 2)
    held = None
    for size in (1 << 20, 1 << 16, 4096, 1024, 512, 256, 128, 64, 32, 1):
        with suppress(MemoryError):
            while True:
                held = (held, bytes(size))
    raise MemoryError
held = None
print(said)
"""


def test_a_work_directory_goes_though_all_memory_is_taken(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", SHORT, tmp_path], capture_output=True, text=True, env=ENVIRONMENT, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "[]\n", "")
    assert list(tmp_path.iterdir()) == []


# All files that may be open are, until the directory is left.
ALL_OPEN = """
import os, resource, sys
from contextlib import suppress
from pathlib import Path
from builder.files.workspace import workspace
said = []
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
with suppress(OSError), workspace(Path(sys.argv[1]), "disk", said.append) as work:
    (work.path / "folder/deeper").mkdir(parents=True)
    (work.path / "folder/deeper/file").write_bytes(b"half")
    while True:
        os.dup(0)
print(said)
"""


def test_a_work_directory_goes_though_no_more_files_may_be_open(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", ALL_OPEN, tmp_path], capture_output=True, text=True, env=ENVIRONMENT, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "[]\n", "")
    assert list(tmp_path.iterdir()) == []
