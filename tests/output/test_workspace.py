"""Work directories: private, gone at the end, and swept when their process was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from builder.errors import OutputError
from builder.output.workspace import workspace


def test_a_workspace_is_private_and_gone_afterwards(tmp_path: Path) -> None:
    with workspace(tmp_path, "rootfs.ext4") as work:
        assert work.parent == tmp_path
        assert work.stat().st_mode & 0o777 == 0o700
        (work / "deep" / "er").mkdir(parents=True)
    assert list(tmp_path.iterdir()) == []


def test_a_workspace_is_gone_after_a_failure(tmp_path: Path) -> None:
    def fail() -> None:
        with workspace(tmp_path, "rootfs.ext4") as work:
            (work / "spool").write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_build_that_ends_before_its_workspace_is_locked_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_fd: int, _operation: int) -> None:
        assert len(list(tmp_path.iterdir())) == 1
        raise KeyboardInterrupt

    monkeypatch.setattr("fcntl.flock", interrupted)
    with pytest.raises(KeyboardInterrupt), workspace(tmp_path, "x"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_uses_is_not(tmp_path: Path) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom builder.output.workspace import workspace\n"
        "with workspace(Path(sys.argv[1]), 'x') as work:\n"
        "    (work / 'half').write_bytes(b'half')\n    print(work, flush=True)\n    time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        theirs = Path(process.stdout.readline().strip())
        with workspace(tmp_path, "y") as ours:
            assert sorted(tmp_path.iterdir()) == sorted([theirs, ours])
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (theirs / "half").exists()
    with workspace(tmp_path, "y") as ours:
        assert list(tmp_path.iterdir()) == [ours]


def test_files_that_only_look_like_litter_stay(tmp_path: Path) -> None:
    look_alike = tmp_path / ".notes.rootfs-builder"
    look_alike.write_text("mine")
    link = tmp_path / ".link.rootfs-builder"
    target = tmp_path / "elsewhere"
    target.mkdir()
    link.symlink_to(target)
    with workspace(tmp_path, "x"):
        pass
    assert sorted(tmp_path.iterdir()) == sorted([look_alike, link, target])


def test_names_as_long_as_a_name_may_be_work(tmp_path: Path) -> None:
    with workspace(tmp_path, "n" * 255) as work:
        assert work.is_dir()
    with workspace(tmp_path, "ü" * 125) as work:
        assert work.is_dir()


def test_a_place_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="nowhere"), workspace(tmp_path / "nowhere", "x"):
        pass
