"""`rootfs-builder build` that is interrupted, killed, or outlives its terminal."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from support.command import run, start_until
from support.images import Spec, layout
from support.tars import directory, file, tar

pytestmark = pytest.mark.heavy


@pytest.fixture
def image(tmp_path: Path) -> str:
    layout(tmp_path / "image", Spec((tar(directory("etc"), file("etc/hosts", b"127.0.0.1 localhost\n")),)))
    return f"oci:{tmp_path}/image"


def left_in(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir() if entry.name != "image")


def test_under_nohup_a_build_outlives_its_terminal(tmp_path: Path) -> None:
    many = tar(*(file(f"{n}", bytes(1 << 20)) for n in range(40)))
    layout(tmp_path / "image", Spec((tar(directory("etc")), many), compression="none"))
    with start_until("reading layer 2", f"oci:{tmp_path}/image", tmp_path / "d.ext4", "nohup") as process:
        process.send_signal(signal.SIGHUP)
        assert process.stderr is not None
        process.stderr.read()
        assert process.wait(timeout=120) == 0
    assert left_in(tmp_path) == ["d.ext4"]


@pytest.mark.parametrize(
    ("stage", "number", "status"),
    [
        ("reading layer 3", signal.SIGINT, 130),
        ("reading layer 3", signal.SIGTERM, 143),
        ("reading layer 3", signal.SIGHUP, 129),
        ("packing", signal.SIGINT, 130),
    ],
)
def test_an_interrupted_build_leaves_nothing(
    tmp_path: Path, slow_layout: Path, stage: str, number: signal.Signals, status: int
) -> None:
    with start_until(stage, f"oci:{slow_layout}", tmp_path / "d.ext4") as process:
        process.send_signal(number)
        assert process.wait(timeout=120) == status
    assert left_in(tmp_path) == []


def test_a_killed_build_leaves_no_output_and_the_next_one_clears_up(
    tmp_path: Path, image: str, slow_layout: Path
) -> None:
    for stage in ("reading layer 2", "packing"):
        with start_until(stage, f"oci:{slow_layout}", tmp_path / "d.ext4") as process:
            process.kill()
            process.wait()
        assert "d.ext4" not in left_in(tmp_path)
    assert run("build", image, "-o", tmp_path / "d.ext4").returncode == 0
    assert left_in(tmp_path) == ["d.ext4"]
