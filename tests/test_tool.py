from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import pytest
from support.processes import alive, wait_until

from builder.errors import ToolFailed, ToolMissing, ToolUnusable
from builder.tool import CompletedTool, find_tool, run_tool, tool_version


@contextmanager
def umask(mask: int) -> Iterator[None]:
    old = os.umask(mask)
    try:
        yield
    finally:
        os.umask(old)


def test_the_environment_is_fixed_and_only_the_caller_adds_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("LC_ALL", "tr_TR.UTF-8")
    monkeypatch.setenv("MKE2FS_CONFIG", "/tmp/of-the-user")
    completed = run_tool(["env"], environment={"SOURCE_DATE_EPOCH": "7"})
    assert sorted(completed.stdout.splitlines()) == [
        "LC_ALL=C",
        "PATH=/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin",
        "SOURCE_DATE_EPOCH=7",
        "TZ=UTC",
    ]


def test_the_umask_and_the_standard_input_of_the_caller_do_not_reach_the_tool() -> None:
    with umask(0o077):
        completed = run_tool(["sh", "-c", "umask; cat"])
    assert completed == CompletedTool(stdout="0022\n", stderr="")


def test_tools_of_the_system_are_found_without_being_in_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert Path(find_tool("mke2fs")).name == "mke2fs"


@pytest.mark.parametrize("path", ["", ":", ".", "here", "./here:", "::here/../here:/usr/bin"])
def test_no_tool_is_taken_from_where_the_caller_happens_to_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    for place in (tmp_path, tmp_path / "here"):
        place.mkdir(exist_ok=True)
        (place / "env").write_text("#!/bin/sh\necho hostile\n")
        (place / "env").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", path)
    assert find_tool("env") in ("/usr/bin/env", "/bin/env")
    # Nor do tools take theirs from there.
    (searched,) = [line for line in run_tool(["env"]).stdout.splitlines() if line.startswith("PATH=")]
    assert all(entry.startswith("/") for entry in searched.removeprefix("PATH=").split(":"))


def test_a_missing_tool_names_its_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builder.tool._SYSTEM_DIRECTORIES", "")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ToolMissing) as caught:
        run_tool(["mke2fs", "-V"])
    assert caught.value.packages == (
        ("Debian", "e2fsprogs"),
        ("Fedora", "e2fsprogs"),
        ("Alpine", "e2fsprogs"),
    )
    assert str(caught.value) == (
        "mke2fs is not installed: install e2fsprogs (Debian), e2fsprogs (Fedora), e2fsprogs (Alpine)"
    )


UNUSABLE = {
    "of another machine": (b"\x7fELF" + bytes(100), "it is no program for this machine"),
    "without its interpreter": (b"#!/nowhere/perl\n", "the interpreter or loader that it needs is missing"),
    "empty": (b"", "it is no program for this machine"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_a_tool_that_does_not_start_is_named_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    content, reason = UNUSABLE[kind]
    program = tmp_path / "mke2fs"
    program.write_bytes(content)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(ToolUnusable) as caught:
        run_tool(["mke2fs", "-V"])
    assert caught.value.exit_status == 4
    assert str(caught.value) == f"mke2fs does not start: {program}: {reason}; install it again"


def test_a_failure_carries_the_exit_status_and_the_last_line() -> None:
    with pytest.raises(ToolFailed) as caught:
        run_tool(["sh", "-c", "echo first >&2; echo no space >&2; exit 3"])
    assert (caught.value.status, caught.value.stderr) == (3, "first\nno space\n")
    assert str(caught.value) == "sh failed with status 3: no space"


@pytest.mark.parametrize("after", ["exit 0", "exit 1", "exec sleep 987654"])
def test_a_tool_that_says_its_disk_is_full_is_ended_whatever_it_does_next(tmp_path: Path, after: str) -> None:
    with pytest.raises(OSError, match="No space left on device") as caught:
        run_tool(["sh", "-c", f"echo tool: No space left on device >&2; {after}"], output=tmp_path / "disk")
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "disk"))


def test_a_full_disk_is_noticed_when_the_words_come_in_pieces() -> None:
    with pytest.raises(OSError, match="Disk quota exceeded"):
        run_tool(["sh", "-c", "printf 'Disk quo' >&2; sleep 0.2; printf 'ta exceeded' >&2; exec sleep 987654"])


def test_what_watches_a_tool_may_end_it() -> None:
    class Full(Exception):
        pass

    def watch() -> None:
        raise Full

    with pytest.raises(Full):
        run_tool(["sleep", "987654"], watch=watch)


def test_a_crash_carries_the_signal() -> None:
    with pytest.raises(ToolFailed) as caught:
        run_tool(["sh", "-c", "kill -ABRT $$"])
    assert caught.value.status == -signal.SIGABRT
    assert str(caught.value) == "sh was killed by signal 6: it printed nothing"


def test_of_long_output_head_and_tail_are_kept() -> None:
    program = "import sys; sys.stderr.write('first\\n' + 'x' * 5_000_000 + '\\nlast\\n')"
    completed = run_tool([sys.executable, "-c", program])
    assert completed.stderr.startswith("first\nx")
    assert completed.stderr.endswith("x\nlast\n")
    assert len(completed.stderr) == 128 * 1024


def test_a_producer_and_a_talkative_tool_do_not_wait_for_each_other() -> None:
    def produce(pipe: BinaryIO) -> None:
        for _ in range(100):
            pipe.write(b"0123456789abcde\n" * 4096)

    completed = run_tool(["tee", "/dev/stderr"], stdin=produce)
    assert completed.stdout == completed.stderr
    assert completed.stdout[:16] == "0123456789abcde\n"


def test_a_tool_that_stops_reading_is_judged_by_its_exit_status() -> None:
    def produce(pipe: BinaryIO) -> None:
        for _ in range(1000):
            pipe.write(bytes(65536))

    assert run_tool(["head", "-c", "1"], stdin=produce).stdout == "\0"
    with pytest.raises(ToolFailed) as caught:
        run_tool(["sh", "-c", "echo bad header >&2; exit 1"], stdin=produce)
    assert caught.value.stderr == "bad header\n"


def test_an_error_in_the_producer_ends_the_tool_and_is_raised_as_itself(tmp_path: Path) -> None:
    class Broken(Exception):
        pass

    def produce(pipe: BinaryIO) -> None:
        while not (tmp_path / "pids").exists() or not (tmp_path / "pids").read_text().endswith("\n"):
            time.sleep(0.01)
        raise Broken

    script = 'sleep 1000 & echo "$! $$" > "$0"; wait'
    with pytest.raises(Broken):
        run_tool(["sh", "-c", script, tmp_path / "pids"], stdin=produce)
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2
    wait_until(lambda: not any(map(alive, pids)))


# In a session of its own, which it says, on the pipe that it keeps and with a file.
CHILD = 'import os, time; os.setsid(); print(os.getpid(), flush=True); open("there", "x"); time.sleep(1000)'


@pytest.mark.parametrize(
    "child",
    ["sleep 987654 & echo $!", f"'{sys.executable}' -c '{CHILD}' & until [ -e there ]; do sleep 0.1; done"],
)
def test_a_child_that_keeps_the_pipes_of_an_ended_tool_keeps_nobody_waiting(tmp_path: Path, child: str) -> None:
    completed = run_tool(["sh", "-c", f"cd '{tmp_path}'; {child}; echo last words >&2"])
    assert completed.stderr == "last words\n"
    with suppress(ProcessLookupError):
        os.kill(int(completed.stdout), signal.SIGKILL)


def test_output_that_cannot_be_read_is_an_error_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(output: object, fd: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("builder.tool_output.ToolOutput._next", unreadable)
    with pytest.raises(OSError, match="Input/output error"):
        run_tool(["sh", "-c", "echo words; echo more >&2"])


def test_an_interrupt_ends_the_tool() -> None:
    seconds = f"98{os.getpid()}"  # nobody else's
    timer = threading.Timer(0.2, signal.pthread_kill, [threading.main_thread().ident, signal.SIGINT])

    def watch() -> None:
        if timer.ident is None:
            assert sleeping(seconds)
            timer.start()

    with pytest.raises(KeyboardInterrupt):
        run_tool(["sleep", seconds], watch=watch, every=0.01)
    timer.join()
    assert not sleeping(seconds)


def sleeping(seconds: str) -> bool:
    """Tell whether somebody has `sleep` run for so long."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cmdline").read_bytes() == f"sleep\0{seconds}\0".encode():
                return True
        except OSError:
            continue
    return False


def test_the_version_is_the_one_the_tool_states() -> None:
    stated = subprocess.run([find_tool("mke2fs"), "-V"], capture_output=True, text=True, check=False).stderr
    assert stated.split()[1] == tool_version("mke2fs")
