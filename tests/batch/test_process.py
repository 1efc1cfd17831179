"""The process behind one image: what it runs is this program, and whatever ends it, its image has an outcome."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.command import ROOT
from support.images import Spec, layout
from support.processes import children, wait_until
from support.tars import file, tar

from builder import BuildOptions
from builder.batch import process
from builder.batch.images import Job
from builder.batch.messages import JobRefused, read_outcome, write_job
from builder.batch.process import BuildLost, build_in_process
from builder.batch.report import BUILT, CANCELLED, FAILED, Outcome

EVIL = "import os\nopen(os.environ['EVIDENCE'], 'a').write(__name__ + '\\n')\nraise SystemExit(7)\n"
MODULES = ["builder/__init__.py", "builder/batch/worker.py", "sitecustomize.py", "usercustomize.py", "click.py"]
MODULES += ["json.py", "msgspec.py", "libarchive.py", "fs.py", "zstandard.py"]


def ignore(_line: str) -> None:
    """Hear nothing."""


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of an image and of modules that leave evidence when they are imported."""
    place = tmp_path / "hostile"
    layout(place / "image", Spec((tar(file("a", b"a")),)))
    for name in MODULES:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(EVIL)
    monkeypatch.setenv("EVIDENCE", str(tmp_path / "evidence"))
    return place


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds the lifeline until it is told to end."""
    code = "import fcntl, sys; f = open(sys.argv[1], 'wb'); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); input()"
    command = [sys.executable, "-c", code, str(tmp_path / "lifeline")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def run_job(tmp_path: Path, reference: str, hear: Callable[[str], None] = ignore) -> Outcome:
    """Build a disk in a process, from the current directory."""
    job = Job(1, reference, Path("out.ext4"), BuildOptions(metadata_file=Path("out.ext4.json")))
    return read_outcome(build_in_process(write_job(job, os.getcwd()), str(tmp_path / "lifeline"), hear))


@pytest.mark.heavy
@pytest.mark.usefixtures("holder")
def test_no_directory_and_no_variable_decides_what_is_imported(
    tmp_path: Path, hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(hostile)
    for name in ("PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "PYTHONPLATLIBDIR"):
        monkeypatch.setenv(name, str(hostile))
    monkeypatch.setenv("PYTHONSTARTUP", str(hostile / "sitecustomize.py"))
    monkeypatch.setattr(sys, "path", ["", ".", str(hostile), *sys.path])
    outcome = run_job(tmp_path, "oci:image")
    assert (outcome.status, outcome.error) == (BUILT, None)
    assert not (tmp_path / "evidence").exists()


@pytest.mark.heavy
def test_the_command_as_a_module_leaves_the_current_directory_alone(tmp_path: Path, hostile: Path) -> None:
    """Where that is not where it is itself."""
    shutil.rmtree(hostile / "builder")
    done = subprocess.run(
        [sys.executable, "-m", "builder", "-q", "build", "oci:image", "-o", tmp_path / "a.ext4"],
        cwd=hostile,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "evidence").exists()


FROM = {
    "an installation": ["-P", "-c", "from builder.__main__ import main; main()"],
    "a checkout": ["-m", "builder"],
    "a zip file": ["app.pyz"],
}


@pytest.mark.heavy
@pytest.mark.parametrize("what", FROM)
def test_a_batch_builds_from_wherever_the_program_is(tmp_path: Path, hostile: Path, what: str) -> None:
    """And runs nothing of the directory where it is started."""
    program, place = FROM[what], hostile
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if what == "a checkout":
        place = ROOT
        del environment["PYTHONPATH"]
    if what == "a zip file":
        program = [str(tmp_path / "app.pyz")]
        with zipfile.ZipFile(program[0], "w") as archive:
            archive.writestr("__main__.py", "from builder.__main__ import main\nmain()\n")
            for path in (ROOT / "builder").rglob("*.py"):
                archive.write(path, path.relative_to(ROOT))
        # What it needs is in the interpreter; the package itself is not to be found beside the zip.
        environment["PYTHONPATH"] = ""
    done = subprocess.run(
        [sys.executable, *program, "batch", "-", "-o", tmp_path / "disks"],
        cwd=place,
        env=environment,
        input=f"oci:{hostile}/image output=a\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, f"{tmp_path}/disks/a.ext4\n"), done.stderr
    assert not (tmp_path / "evidence").exists()


@pytest.mark.heavy
@pytest.mark.usefixtures("holder")
def test_events_are_heard_and_the_outcome_says_what_is_there(
    tmp_path: Path, hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(hostile)
    heard: list[str] = []
    outcome = run_job(tmp_path, "oci:image", heard.append)
    disk = json.loads((hostile / "out.ext4.json").read_text())["disk"]
    assert (outcome.size, outcome.sha256, outcome.uuid) == (disk["size"], disk["sha256"], disk["uuid"])
    assert (hostile / "out.ext4").stat().st_size == outcome.size
    assert outcome.seconds is not None
    assert [json.loads(line)["name"].split(" (")[0] for line in heard if '"stage"' in line][:2] == [
        "reading layer 1 of 1",
        "packing ext4",
    ]


@pytest.mark.heavy
def test_a_build_whose_lifeline_is_cut_is_cancelled(
    tmp_path: Path, slow_layout: Path, holder: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = run_job(tmp_path, f"oci:{slow_layout}", lambda _line: holder.kill())
    assert outcome.status == CANCELLED
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lifeline"]


@pytest.mark.heavy
@pytest.mark.usefixtures("holder")
def test_a_build_whose_parent_has_gone_gives_up_though_its_lifeline_is_held(tmp_path: Path, slow_layout: Path) -> None:
    (tmp_path / "disks").mkdir()
    message = write_job(Job(1, f"oci:{slow_layout}", Path("a.ext4"), BuildOptions()), str(tmp_path / "disks"))
    code = "import sys; from builder.batch.process import build_in_process; build_in_process(*sys.argv[1:], print)"
    with subprocess.Popen(
        [sys.executable, "-u", "-c", code, message, str(tmp_path / "lifeline")],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        assert list((tmp_path / "disks").iterdir()) != []
        parent.kill()
    wait_until(lambda: list((tmp_path / "disks").iterdir()) == [])


@pytest.mark.heavy
def test_a_build_that_comes_after_the_lifeline_was_cut_is_cancelled(
    tmp_path: Path, slow_layout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_job(tmp_path, f"oci:{slow_layout}").status == CANCELLED
    assert list(tmp_path.iterdir()) == []


@pytest.mark.heavy
@pytest.mark.usefixtures("holder")
@pytest.mark.parametrize(
    ("number", "how"), [(signal.SIGKILL, "was killed by signal 9"), (signal.SIGTERM, "ended with status 143")]
)
def test_a_process_that_somebody_else_ends_is_lost(
    tmp_path: Path, slow_layout: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, how: str
) -> None:
    monkeypatch.chdir(tmp_path)
    start = process._start
    started = []

    def watched(idle: float) -> process._Ready:
        started.append(start(idle))
        return started[-1]

    ended: list[int] = []

    def end_it(_line: str) -> None:
        # It may have said more before it was ended, and be gone when that is heard.
        if not ended:
            (build,) = children(started[0].process.pid)
            ended.append(build)
            os.kill(build, number)

    monkeypatch.setattr(process, "_start", watched)
    with pytest.raises(BuildLost, match=how):
        run_job(tmp_path, f"oci:{slow_layout}", end_it)


@pytest.mark.heavy
@pytest.mark.usefixtures("holder")
def test_a_job_of_another_version_is_refused(tmp_path: Path) -> None:
    answer = build_in_process('{"builder": "9.0", "form": 1}', str(tmp_path / "lifeline"), ignore)
    with pytest.raises(JobRefused, match=r"^this job is of rootfs-builder 9\.0 \(form 1\), and here is "):
        read_outcome(answer)


@pytest.mark.heavy
@pytest.mark.usefixtures("holder")
def test_a_directory_that_is_not_there_fails_the_job(tmp_path: Path) -> None:
    job = Job(1, "oci:a", Path("a.ext4"), BuildOptions())
    outcome = read_outcome(build_in_process(write_job(job, "/nowhere"), str(tmp_path / "lifeline"), ignore))
    assert outcome.status == FAILED
    assert outcome.error is not None
    assert outcome.error.startswith("/nowhere: No such file or directory; ")


@pytest.mark.heavy
def test_a_lifeline_that_cannot_be_read_fails_the_job_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lifeline").symlink_to("lifeline")
    outcome = run_job(tmp_path, "oci:image")
    assert (outcome.status, outcome.exit_status) == (FAILED, 4)
    assert outcome.error is not None
    assert outcome.error.startswith(f"{tmp_path}/lifeline: Too many levels of symbolic links; ")
    assert capfd.readouterr().err == ""


# Threads are to have more stack than there are addresses.
NO_THREADS = "import threading; threading.stack_size(1 << 50)\nfrom builder.batch.ready"


@pytest.mark.heavy
@pytest.mark.usefixtures("holder")
def test_where_no_more_threads_are_to_be_had_the_outcome_says_so_and_nothing_else_does(
    tmp_path: Path, hostile: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(process, "_START", process._START.replace("from builder.batch.ready", NO_THREADS))
    monkeypatch.chdir(hostile)
    outcome = run_job(tmp_path, "oci:image")
    assert (outcome.status, outcome.exit_status) == (FAILED, 1)
    assert outcome.error is not None
    assert outcome.error.startswith("this machine gives us no more processes and threads; ")
    assert capfd.readouterr().err == ""


# A build reads its job, says half of what it has to say, and is killed.
CUT_SHORT = """
import os, signal
from builder.batch import worker
def cut_short(*_):
    sys.stdin.readline()
    os.write(1, path[-1].encode())
    os.kill(os.getpid(), signal.SIGKILL)
worker.main = cut_short
from builder.batch.ready"""


@pytest.mark.heavy
@pytest.mark.parametrize("said", ['{"event": "stage", "na', '{"outcome": {"line": 1'])
def test_what_a_killed_process_had_begun_to_say_is_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    monkeypatch.setattr(process, "_START", process._START.replace("from builder.batch.ready", CUT_SHORT))
    path = process._path()
    monkeypatch.setattr(process, "_path", lambda: [*path, said])
    with pytest.raises(BuildLost, match=r"^its build process was killed by signal 9 without an answer; "):
        build_in_process("", str(tmp_path / "lifeline"), ignore)
