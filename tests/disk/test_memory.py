from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from builder.disk.memory import memory_directory


def test_it_is_private_and_gone_at_the_end() -> None:
    with memory_directory() as directory:
        assert directory is not None
        assert directory.stat().st_mode & 0o777 == 0o700
        (directory / "below").mkdir()
    assert not directory.exists()


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_uses_is_not() -> None:
    code = (
        "import os, sys\n"
        "from builder.disk.memory import memory_directory\n"
        "with memory_directory() as directory:\n"
        "    (directory / 'f').touch()\n"
        "    print(directory, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        theirs = Path(process.stdout.readline().strip())
        with memory_directory() as directory:
            assert (theirs / "f").exists()
            assert directory != theirs
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert theirs.exists()
    with memory_directory():
        assert not theirs.exists()


def test_without_such_a_place_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("builder.disk.memory._PLACE", tmp_path / "missing")
    with memory_directory() as directory:
        assert directory is None
