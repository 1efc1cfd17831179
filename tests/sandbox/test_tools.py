"""Tools are confined: what one that was taken over would try, tried from inside."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest
from support import escaping

from builder.errors import MissingRequirement, ToolFailed, ToolUnusable
from builder.files.descriptors import opened, path_of
from builder.sandbox import landlock, seccomp
from builder.sandbox.policy import policy
from builder.tool import find_tool, run_tool

NEEDS = "NOT RUN: needs a kernel with Landlock and seccomp: Linux 6.12 or later, with landlock among its lsm="
needs_kernel = pytest.mark.skipif(landlock.version() < 6 or not seccomp.is_there(), reason=NEEDS)

# What containers keep from their root, too, or not all kernels have.
OF_A_WHOLE_MACHINE = {
    *("make a device", "make a namespace", "change mounts", "change the root", "setxattr"),
    *("make a namespace by clone", "make a namespace by clone3", "give a program capabilities"),
    *("read another's memory", "write another's memory", "trace a process", "call by io_uring", "share memory"),
}


def python() -> str:
    """An interpreter that is a program of the system's: one of a virtual environment is a link to it."""
    return os.path.realpath(sys.executable)


@pytest.fixture
def try_out(home: Path, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], dict[str, str]]:
    """Run the attempts as a tool; return what became of each."""
    monkeypatch.setenv("PATH", os.path.dirname(python()))
    code = Path(escaping.__file__).read_text()

    def tool(confined: bool) -> dict[str, str]:
        with opened(tmp_path / "handed", os.O_RDWR | os.O_CREAT) as fd:
            words = ["-I", "-S", "-c", code, str(home), str(port), str(fd), str(os.getpid())]
            done = run_tool([os.path.basename(python()), *words], inherited=(fd,), confined=confined)
        outcomes: dict[str, str] = json.loads(done.stdout)
        return outcomes

    return tool


@needs_kernel
def test_a_tool_that_was_taken_over_gets_nowhere(try_out: Callable[[bool], dict[str, str]], home: Path) -> None:
    outcomes = try_out(True)
    assert [name for name, outcome in outcomes.items() if outcome not in ("EACCES", "EPERM", "EXDEV")] == []
    assert {path.name: path.read_text() for path in home.iterdir()} == dict.fromkeys(
        ("victim", "second"), "the user's own"
    )


def test_what_is_tried_from_inside_succeeds_where_nothing_is_confined(
    try_out: Callable[[bool], dict[str, str]],
) -> None:
    # Some containers keep that from all that runs in them.
    kept = OF_A_WHOLE_MACHINE | ({"gain privileges"} if escaping.privileges()["NoNewPrivs"] == "1" else set())
    with policy("off"):
        outcomes = try_out(True)
    assert {name for name, outcome in outcomes.items() if outcome != "done"} <= kept


def test_a_confined_tool_reads_and_writes_what_it_was_handed_as_it_is_open(tmp_path: Path) -> None:
    (tmp_path / "given").write_text("given")
    (tmp_path / "work").mkdir()
    script = 'cat "$0" > "$1" && cat "$1" > "$2/copy" && mkdir "$2/more" && mv "$2/copy" "$2/more"'
    with (
        opened(tmp_path / "given", os.O_RDONLY) as given,
        opened(tmp_path / "made", os.O_RDWR | os.O_CREAT) as made,
        opened(tmp_path / "work", os.O_PATH | os.O_DIRECTORY) as work,
    ):
        words = ["sh", "-c", script, *(str(path_of(fd)) for fd in (given, made, work))]
        others = [find_tool(name) for name in ("cat", "mkdir", "mv")]
        run_tool(words, inherited=(given, made, work), confined=True, others=others)
    assert (tmp_path / "made").read_text() == (tmp_path / "work/more/copy").read_text() == "given"


@needs_kernel
@pytest.mark.parametrize("script", ['echo x > "$0"', 'echo x > "$1/file"', 'rm "$1/kept"', "cat /proc/self/mounts"])
def test_what_was_handed_to_be_read_is_not_written(tmp_path: Path, script: str) -> None:
    (tmp_path / "given").write_text("given")
    (tmp_path / "work").mkdir()
    (tmp_path / "work/kept").write_text("kept")
    others = [find_tool(name) for name in ("cat", "rm")]
    with (
        opened(tmp_path / "given", os.O_RDONLY) as given,
        opened(tmp_path / "work", os.O_RDONLY | os.O_DIRECTORY) as work,
    ):
        words = ["sh", "-c", script, str(path_of(given)), str(path_of(work))]
        with pytest.raises(ToolFailed, match="denied"):
            run_tool(words, inherited=(given, work), confined=True, others=others)
    assert [(tmp_path / name).read_text() for name in ("given", "work/kept")] == ["given", "kept"]


def test_a_script_in_the_place_of_a_tool_runs_with_the_programs_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/mke2fs"
    program.write_text("#!/bin/sh\nexec cat < /dev/null\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert run_tool(["mke2fs"], confined=True).stdout == ""


def test_who_starts_a_confined_tool_keeps_all_that_it_had(tmp_path: Path) -> None:
    before = escaping.privileges()
    run_tool(["true"], confined=True)
    (tmp_path / "file").write_text("still")
    assert run_tool(["cat", tmp_path / "file"]).stdout == "still"
    assert escaping.privileges() == before


def test_a_confined_tool_that_does_not_start_is_named_as_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mke2fs").write_bytes(b"\x7fELF" + bytes(100))
    (tmp_path / "mke2fs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolUnusable, match="no program for this machine"):
        run_tool(["mke2fs", "-V"], confined=True)


def test_a_kernel_that_lacks_it_is_said_only_where_it_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "version", lambda: 0)
    monkeypatch.setattr(seccomp, "is_there", lambda: False)
    assert run_tool(["echo", "ran"], confined=True).stdout == "ran\n"
    with pytest.raises(MissingRequirement, match="this kernel has no Landlock") as caught, policy("require"):
        pass
    assert caught.value.exit_status == 4


@pytest.mark.parametrize(("step", "module"), [("restrict", landlock), ("refuse", seccomp)])
@needs_kernel
def test_what_is_forbidden_to_be_confined_does_not_run_where_it_is_required(
    monkeypatch: pytest.MonkeyPatch, step: str, module: ModuleType
) -> None:
    def forbid(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(module, step, forbid)
    assert run_tool(["echo", "ran"], confined=True).stdout == "ran\n"
    with policy("require"), pytest.raises(MissingRequirement, match=r"does not let it confine .*not permitted"):
        run_tool(["echo", "ran"], confined=True)


@needs_kernel
def test_what_may_grant_nothing_takes_nothing_away_either() -> None:
    """As where a container's filter knows the calls of Landlock one by one."""
    with ThreadPoolExecutor(1) as thread:
        # What a thread is refused, so is what it starts; it ends with this.
        thread.submit(seccomp.refuse, {"landlock_add_rule": (445, 445)}).result()
        assert thread.submit(run_tool, ["echo", "ran"], confined=True).result().stdout == "ran\n"


# What root has in a container that may do nothing; and one that may not even give up what it has.
@pytest.mark.parametrize(("bounds", "outcome"), [("-all", "ran"), ("-setpcap", "MissingRequirement")])
@pytest.mark.root
@needs_kernel
def test_of_root_no_more_is_taken_than_it_has(bounds: str, outcome: str) -> None:
    words = [find_tool("setpriv"), f"--bounding-set={bounds}", sys.executable, "-c", REQUIRED]
    environment = {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"{outcome}\n"


REQUIRED = """
from builder.errors import MissingRequirement
from builder.sandbox.policy import policy
from builder.tool import run_tool

try:
    with policy("require"):
        print(run_tool(["echo", "ran"], confined=True).stdout, end="")
except MissingRequirement as error:
    print(type(error).__name__)
"""


@pytest.mark.parametrize("known", range(1, 8))
@needs_kernel
def test_what_an_older_landlock_knows_is_taken_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, known: int
) -> None:
    monkeypatch.setattr(landlock, "version", lambda: known)
    (tmp_path / "secret").write_text("secret")
    with pytest.raises(ToolFailed, match="Permission denied"):
        run_tool(["cat", tmp_path / "secret"], confined=True)
    assert run_tool(["echo", "ran"], confined=True).stdout == "ran\n"
