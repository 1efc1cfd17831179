"""How a boot ends that its user ends: streams that close, Ctrl-C, and the command that --dry-run prints."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from support import command, guests
from support.guests import build, image

pytestmark = pytest.mark.slow

WORDS = ["--kernel", guests.KERNEL / "vmlinuz", "--modules", guests.KERNEL / "lib/modules", "--timeout", 300]


@pytest.fixture(autouse=True)
def _needs_machines() -> None:
    guests.skip_without_machines()


def environment(place: Path) -> dict[str, str]:
    return {**command.ENVIRONMENT, "XDG_CACHE_HOME": os.fspath(place / "cache")}


def start(disk: Path, *words: object) -> subprocess.Popen[bytes]:
    argv = command.argv("boot", disk, *WORDS, *words)
    return subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(disk.parent)
    )


def test_a_reader_that_goes_ends_the_guest(tmp_path: Path) -> None:
    endless = {"Cmd": ["sh", "-c", "trap 'exit 9' TERM; while :; do echo line || sleep 1; done"]}
    with start(build(image(tmp_path / "image", endless), tmp_path / "disk.ext4")) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"line\n"
        running.stdout.close()
        assert running.stderr is not None
        assert (running.stderr.read(), running.wait()) == (b"", 9)


def test_output_that_has_no_room_is_a_failure_of_the_boot(tmp_path: Path) -> None:
    disk = build(image(tmp_path / "image", {"Cmd": ["sh", "-c", "echo lost; sleep 300"]}), tmp_path / "disk.ext4")
    with open("/dev/full", "wb") as full:
        argv = command.argv("boot", disk, *WORDS)
        ran = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, env=environment(tmp_path), check=False
        )
    said = b"rootfs-builder: error: standard output: No space left on device; send it elsewhere\n"
    assert (ran.returncode, ran.stderr) == (1, said)


def test_ctrl_c_asks_the_process_to_end_and_once_more_ends_all(tmp_path: Path) -> None:
    stubborn = {"Cmd": ["sh", "-c", "trap 'echo asked' TERM; echo ready; while :; do sleep 1; done"]}
    with start(build(image(tmp_path / "image", stubborn), tmp_path / "disk.ext4")) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        running.send_signal(signal.SIGINT)
        assert running.stdout.readline() == b"asked\n"
        running.send_signal(signal.SIGINT)
        assert running.wait() == 128 + signal.SIGINT


def test_a_guest_that_halts_has_ended(tmp_path: Path) -> None:
    disk = build(
        image(tmp_path / "image", {"Cmd": ["sh", "-c", "echo bye; exec busybox halt -f"]}), tmp_path / "disk.ext4"
    )
    ran = guests.boot(disk)
    assert (ran.returncode, ran.stdout) == (1, b"bye\n")
    assert b"the guest ended before its process did; its last words: " in ran.stderr
    assert b"reboot: System halted" in ran.stderr


def test_input_that_nobody_reads_holds_nothing_up(tmp_path: Path) -> None:
    disk = build(image(tmp_path / "image", {"Cmd": ["true"]}), tmp_path / "disk.ext4")
    ran = guests.boot(disk, "--", "busybox", "echo", "done", stdin=bytes(8 << 20))
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"done\n", b"")


def test_the_command_of_a_dry_run_boots_when_it_is_pasted(tmp_path: Path) -> None:
    disk = build(image(tmp_path / "image", {"Entrypoint": ["busybox", "echo"]}), tmp_path / "it's, a disk.erofs")
    argv = command.argv("boot", disk, *WORDS[:-2], "--dry-run", "--env", "A=b c", "--", "two words", "\"quotes'")
    printed = subprocess.run(argv, capture_output=True, check=True, text=True, env=environment(tmp_path)).stdout
    assert printed.count("\n") == 1
    ran = subprocess.run(["sh", "-c", printed], capture_output=True, check=False, stdin=subprocess.DEVNULL, timeout=300)
    assert b"two words \"quotes'\r\n" in ran.stdout
