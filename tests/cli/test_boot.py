"""What is wrong with a boot is said in one line, before anything is started."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support import guests
from support.command import ENVIRONMENT, argv, run

from builder import blank


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--timeout", "nan"], "'nan' is no number of seconds; write it as 60 or 1.5"),
        (["--timeout", "0"], "'0' is no number of seconds"),
        (["--timeout", "-1"], "'-1' is no number of seconds"),
        (["--port", "80"], "'80' is no HOST:GUEST[/udp] of two ports"),
        (["--port", "70000:80"], "'70000:80' is no HOST:GUEST[/udp] of two ports"),
        (["--memory", "much"], "'much' is not a size"),
        (["--env", "=x"], "'=x' is no variable"),
        (["--machine", "pc"], "'pc' is not one of"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, words: list[str], said: str) -> None:
    done = run("boot", tmp_path / "disk", *words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert said in done.stderr


@pytest.mark.heavy
def test_a_cache_without_room_is_named(tmp_path: Path) -> None:
    guests.skip_without_machines()
    disk = blank(tmp_path / "disk.ext4", 64 << 20).output
    words = ["boot", disk, "--kernel", guests.KERNEL / "vmlinuz", "--modules", guests.KERNEL / "lib/modules"]
    environment = {**ENVIRONMENT, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    limited = ["prlimit", "--fsize=65536", *argv(*words)]
    done = subprocess.run(limited, env=environment, capture_output=True, text=True, check=False)
    place = tmp_path / "cache/rootfs-builder"
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert f"{place}/initramfs-" in done.stderr
    assert done.stderr.endswith("File too large; choose another XDG_CACHE_HOME\n")
    assert list(place.iterdir()) == []


@pytest.mark.heavy
def test_where_temporary_files_have_no_place_that_is_said(tmp_path: Path) -> None:
    guests.skip_without_machines()
    disk = blank(tmp_path / "disk.ext4", 64 << 20).output
    words = ["boot", disk, "--kernel", guests.KERNEL / "vmlinuz", "--modules", guests.KERNEL / "lib/modules"]
    # A cache that cannot be, and temporary files where none can be either.
    nowhere = {"XDG_CACHE_HOME": "/dev/null", "TMPDIR": "/dev/null"}
    limited = ["prlimit", "--fsize=0", *argv(*words)]
    done = subprocess.run(
        limited, env={**ENVIRONMENT, **nowhere}, cwd="/proc", capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "choose another" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["docker://x.invalid/disk:1", "--dry-run"], "is not here; pull it, and name that for --dry-run"),
        (["docker://x.invalid/disk:1", "--writable"], "would be lost; pull it first, or leave out --writable"),
        (["docker://host.example/UPPER"], "is no repository"),
        (["disk.ext4", "--verify-key", "cosign.pub"], "can be had of a disk in a registry (docker://) only"),
    ],
)
def test_what_a_disk_of_a_registry_is_not_for(words: list[str], said: str, tmp_path: Path) -> None:
    done = run("boot", *words, TMPDIR=str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []
