"""Signals end a program by an exception, wherever it is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.command import ENVIRONMENT, ROOT, run
from support.images import Spec, layout
from support.processes import alive, wait_until
from support.tars import file, tar

# The exception is lost after the first chunk, as it is when it comes while C code calls back; the tar breaks off there.
_SCRIPT = """
import signal, sys
from contextlib import suppress
from builder.archive.tar import TarReader
from builder.signals import end_on_signals

def chunks(data):
    yield data[:1536]
    with suppress(SystemExit):
        signal.raise_signal(signal.SIGTERM)
    yield data[1536:2048]

end_on_signals()
with TarReader(chunks(sys.stdin.buffer.read())) as reader:
    for entry in reader:
        print(entry.path)
"""


def test_a_signal_that_comes_while_libarchive_asks_for_more_is_not_taken_for_a_damaged_archive() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        input=tar(file("first", b"1"), file("second", b"2" * 5000)),
        env=ENVIRONMENT,
        capture_output=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (143, b"")


_CLEANING_UP = """
import signal
from builder.signals import end_on_signals

end_on_signals()
try:
    signal.raise_signal(signal.SIGTERM)
finally:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.raise_signal(number)
    print("cleaned up")
"""


def test_signals_that_come_while_the_first_one_is_cleaned_up_after_change_nothing() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _CLEANING_UP], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (143, "cleaned up\n", "")


# Handlers that are the caller's own, as those of a test runner's or a task runner's time limit.
_HELD = """
import signal, sys
from builder.signals import signals_held

class Late(BaseException):
    pass

def end(*_):
    raise Late

for name in sys.argv[1:]:
    number = getattr(signal, name)
    signal.signal(number, end)
    try:
        with signals_held():
            signal.raise_signal(number)
            print(name, "waits", end=" ")
    except Late:
        print("and comes")
"""


def test_a_callers_own_signals_wait_as_well_for_what_they_would_lose() -> None:
    names = ["SIGINT", "SIGTERM", "SIGHUP", "SIGALRM", "SIGUSR1", "SIGUSR2"]
    ended = subprocess.run([sys.executable, "-c", _HELD, *names], env=ENVIRONMENT, capture_output=True, text=True)
    assert (ended.stdout, ended.stderr) == ("".join(f"{name} waits and comes\n" for name in names), "")


# A signal before each line that runs between asking for a tool and having its answer, each in a process of its own.
_EVERY_LINE = """
import ctypes, os, signal, subprocess, sys
from builder import tool
from builder.signals import end_on_signals

STARTING = {subprocess.Popen.__init__.__code__, subprocess.Popen._execute_child.__code__}

def signal_at(step):
    def trace(frame, event, _argument):
        nonlocal step
        if frame.f_code.co_filename != tool.__file__ and frame.f_code not in STARTING:
            return None
        step -= event == "line"
        if step == 0:
            sys.settrace(None)
            signal.raise_signal(signal.SIGTERM)
        return trace

    sys.settrace(trace)

def run(step):
    end_on_signals()
    signal_at(step)
    tool.run_tool(["sh", "-c", "echo started"])
    sys.settrace(None)
    os._exit(0)

ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: whoever is left becomes a child of this process
step, status = 0, 143
while status == 143:
    step += 1
    child = os.fork()
    if child == 0:
        run(step)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        while True:
            os.wait()
    except ChildProcessError:
        pass
print(status, step > 200)
"""


@pytest.mark.slow
def test_a_signal_at_any_line_of_a_tools_run_ends_all_processes_and_gives_its_status() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _EVERY_LINE], env=ENVIRONMENT, capture_output=True, check=False, timeout=1200
    )
    assert (ended.stdout, ended.stderr, ended.returncode) == (b"0 True\n", b"", 0)


_KILLED = """
import os, signal, sys
from builder.tool import run_tool

run_tool(["sh", "-c", "sleep 987654 & echo $$ $! >pids; sleep 987654"], watch=lambda: os.kill(os.getpid(), 9))
"""


def test_what_a_killed_process_ran_ends_with_it(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", _KILLED], env=ENVIRONMENT, cwd=tmp_path, check=False)
    assert ended.returncode == -signal.SIGKILL
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2
    wait_until(lambda: not any(map(alive, pids)))


_TOOL = """#!/bin/sh
case $1 in -V) echo mke2fs 1.47.0 >&2; exit;; esac
sleep 987654 &
echo $$ $! >{pids}
kill -{signal} $PPID
wait
"""


@pytest.mark.parametrize(("name", "status"), [("TERM", 143), ("INT", 130), ("HUP", 129), ("KILL", -9)])
def test_a_build_that_is_ended_as_its_tool_starts_leaves_no_tool_and_no_directory(
    tmp_path: Path, name: str, status: int
) -> None:
    layout(tmp_path / "image", Spec((tar(file("file", b"content")),)))
    for place in ("bin", "out"):
        (tmp_path / place).mkdir()
    program = tmp_path / "bin/mke2fs"
    program.write_text(_TOOL.format(pids=tmp_path / "pids", signal=name))
    program.chmod(0o755)
    disk = tmp_path / "out/d.ext4"
    # Confined, it could neither tell of itself nor send a signal.
    words = ("-q", "build", f"oci:{tmp_path}/image", "-o", disk, "--sandbox", "off")
    done = run(*words, PATH=f"{tmp_path}/bin:/usr/bin:/bin")
    assert (done.returncode, done.stderr) == (status, "")
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    wait_until(lambda: not any(map(alive, pids)))
    left = os.listdir(tmp_path / "out")
    if name == "KILL":
        # Nobody could; the next build does.
        assert run("-q", "build", f"oci:{tmp_path}/image", "-o", disk).returncode == 0
        left = os.listdir(tmp_path / "out")
        assert left.pop(left.index("d.ext4"))
    assert left == []


_IN_A_DESTRUCTOR = """
import signal, sys, time
from builder.__main__ import _unraisable
from builder.signals import end_on_signals

class Falling:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

sys.unraisablehook = _unraisable
end_on_signals()
try:
    Falling()
    time.sleep(60)
finally:
    print("cleaned up")
"""


def test_a_signal_whose_exception_a_destructor_swallows_ends_the_command_all_the_same() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _IN_A_DESTRUCTOR], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "cleaned up\n", "")


# Ctrl-C before one of the first lines of the command, as the wheel installs it, in a process of its own. Before the
# script's second line they are Python's own, which nobody can do anything about.
_STARTING = """
import os, signal, sys

def interrupt_at(step):
    begun = False
    def trace(frame, event, _argument):
        nonlocal begun, step
        begun = begun or (frame.f_code.co_filename == script and frame.f_lineno > 5)
        step -= begun and event == "line"
        if step == 0:
            sys.settrace(None)
            signal.raise_signal(signal.SIGINT)
        return trace

    sys.settrace(trace)

script, steps = sys.argv[1], [int(step) for step in sys.argv[2:]]
sys.argv = ["rootfs-builder", "build", "oci:nowhere", "-o", "d.ext4"]
statuses = set()
for step in steps:
    if (child := os.fork()) == 0:
        interrupt_at(step)
        exec(compile(open(script).read(), script, "exec"), {"__name__": "__main__"})
    statuses.add(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(*sorted(statuses))
"""


@pytest.mark.slow
def test_an_interrupt_at_any_line_of_the_start_is_quiet() -> None:
    steps = [*range(1, 400, 20), *range(400, 8_000, 400)]
    command = [sys.executable, "-c", _STARTING, str(ROOT / "ci/wheel/rootfs-builder"), *map(str, steps)]
    ended = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("-2 130\n", "", 0)
