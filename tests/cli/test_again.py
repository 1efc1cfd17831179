"""`rootfs-builder build` a second time: what is up to date is left, and what another process builds is waited for."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest
from support.command import ENVIRONMENT, argv, run, start_until
from support.images import Spec, layout
from support.tars import file, tar

pytestmark = pytest.mark.heavy


@pytest.fixture
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    place = tmp_path_factory.mktemp("image")
    layout(place / "image", Spec((tar(file("a", b"first", mode=0o755)),), config={"Cmd": ["/a"]}))
    return f"oci:{place}/image"


@pytest.fixture
def slow_image(slow_layout: Path) -> str:
    return f"oci:{slow_layout}"


def test_an_output_that_is_up_to_date_is_left_and_its_path_printed_all_the_same(tmp_path: Path, image: str) -> None:
    words = ("build", image, "-o", tmp_path / "d.ext4", "--metadata-file", tmp_path / "m.json")
    assert run(*words).returncode == 0
    before = (tmp_path / "d.ext4").stat()
    again = run(*words)
    assert (again.returncode, again.stdout) == (0, f"{tmp_path}/d.ext4\n")
    assert again.stderr == f"{tmp_path}/d.ext4: up to date\n"
    after = (tmp_path / "d.ext4").stat()
    assert (after.st_ino, after.st_mtime_ns, after.st_ctime_ns) == (
        before.st_ino,
        before.st_mtime_ns,
        before.st_ctime_ns,
    )
    assert run(*words, "--force").returncode == 0
    assert (tmp_path / "d.ext4").stat().st_ino != before.st_ino


def test_the_second_build_of_an_output_waits_for_the_first_and_finds_it_up_to_date(
    tmp_path: Path, slow_image: str
) -> None:
    disk = tmp_path / "d.ext4"
    with start_until("reading layer 2", slow_image, disk) as first:
        first.send_signal(signal.SIGSTOP)
        second = subprocess.Popen(
            argv("build", slow_image, "-o", disk), env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
        )
        assert second.stderr is not None
        waits = second.stderr.readline()
        first.send_signal(signal.SIGCONT)
        assert first.stderr is not None
        first.stderr.read()
        assert first.wait() == 0
        inode = disk.stat().st_ino
        said = second.communicate()[1]
    assert waits == f"rootfs-builder: notice: {disk}: process {first.pid} is at work on it; waiting for its end\n"
    assert said == f"{disk}: up to date\n"
    assert second.returncode == 0
    assert disk.stat().st_ino == inode
    assert [path.name for path in tmp_path.iterdir()] == ["d.ext4"]


def test_a_build_that_shall_not_wait_says_who_has_the_output(tmp_path: Path, image: str, slow_image: str) -> None:
    disk = tmp_path / "d.ext4"
    with start_until("reading layer 2", slow_image, disk) as first:
        first.send_signal(signal.SIGSTOP)
        refused = run("build", image, "-o", disk, "--no-wait")
        assert run("build", image, "-o", tmp_path / "other.ext4", "--no-wait").returncode == 0
        first.kill()
        first.wait()
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == (
        f"rootfs-builder: error: {disk}: process {first.pid} is at work on it; try again, or leave out --no-wait\n"
    )
    assert run("build", image, "-o", disk, "--no-wait").returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.ext4", "other.ext4"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_build_that_waits_ends_when_it_is_told_to(tmp_path: Path, slow_image: str, number: signal.Signals) -> None:
    disk = tmp_path / "d.ext4"
    with start_until("reading layer 2", slow_image, disk) as first:
        first.send_signal(signal.SIGSTOP)
        with subprocess.Popen(argv("build", slow_image, "-o", disk), env=ENVIRONMENT, stderr=subprocess.PIPE) as second:
            assert second.stderr is not None
            assert b"waiting for its end" in second.stderr.readline()
            second.send_signal(number)
            assert second.wait(timeout=120) == 128 + number
        first.kill()
