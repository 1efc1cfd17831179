"""A booted disk runs the image's process as its configuration says, and its streams and status arrive."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support import command, guests
from support.guests import boot, build, image

pytestmark = pytest.mark.slow

# What a process sees of itself, a line each.
LOOK = """
echo "argv $0 $1 $2"
echo "cwd $(pwd)"
echo "ids $(id -u) $(id -g) $(id -G)"
echo "umask $(umask)"
echo "env $(env | grep -E '^(A|PATH|HOME|HOSTNAME)=' | sort | tr '\\n' ' ')"
echo "signals $(grep -E 'Sig(Blk|Ign|Cgt)' /proc/self/status | cut -f2 | tr '\\n' ' ')"
echo "files $(ulimit -Sn) $(ulimit -Hn)"
echo "root $(grep ' / ' /proc/mounts | tail -n 1 | cut -d ' ' -f 1,3)"
echo "mounts $(cut -d ' ' -f 2 /proc/mounts | grep -vxF -e / -e /rootfs | tr '\\n' ' ')"
echo "links $(ls -l /dev/fd /dev/stdin /dev/stdout /dev/stderr | sed 's/.*-> //' 2>/dev/null | tr '\\n' ' ')"
echo "hosts $(grep -c localhost /etc/hosts) $(cat /etc/hostname)"
echo written >/written && echo "writes $(cat /written)"
"""
SEEN = """\
argv name one two three
cwd /srv/app
ids 1000 1001 1001 7
umask 0022
env A=2 HOME=/home/web HOSTNAME=vm PATH=/bin
signals 0000000000000000 0000000000000000 0000000000000000
files 1024 524288
root overlay overlay
hosts 2 vm
"""


@pytest.fixture(autouse=True)
def _needs_machines() -> None:
    guests.skip_without_machines()


def test_the_process_is_as_the_config_says(tmp_path: Path) -> None:
    config = {
        "Entrypoint": ["/bin/sh", "-c", LOOK, "name"],
        "Cmd": ["one", "two three"],
        "Env": ["PATH=/bin", "A=1", "A=2"],
        "WorkingDir": "/srv/app",
        "User": "web",
    }
    disk = build(image(tmp_path / "image", config), tmp_path / "disk.ext4", "--hostname", "vm")
    before = disk.read_bytes()
    ran = boot(disk)
    lines = ran.stdout.decode().splitlines()
    for expected in SEEN.splitlines():
        assert expected in [line.rstrip() for line in lines], ran
    mounts = next(line for line in lines if line.startswith("mounts ")).split()[1:]
    assert {"/proc", "/sys", "/dev", "/dev/pts", "/dev/shm", "/run", "/sys/fs/cgroup"} <= set(mounts)
    # An ordinary user may not write to the root of the file system.
    assert b"writes" not in ran.stdout
    assert (ran.returncode, disk.read_bytes() == before) == (1, True)


def test_bytes_go_in_and_out_as_they_are(tmp_path: Path) -> None:
    everything = bytes(range(256)) * 64
    # By their names as well, as programs are told to log; also an ordinary user's.
    script = "cat </dev/stdin; seq 1 20000 >/dev/stdout; echo complaint >&2; echo again >/dev/stderr"
    config = {"Entrypoint": ["/bin/sh", "-c", script], "User": "web"}
    disk = build(image(tmp_path / "image", config), tmp_path / "disk.erofs")
    ran = boot(disk, stdin=everything)
    lines = b"".join(b"%d\n" % number for number in range(1, 20001))
    assert hashlib.md5(ran.stdout).digest() == hashlib.md5(everything + lines).digest()
    assert (ran.stderr, ran.returncode) == (b"complaint\nagain\n", 0)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["/bin/sh", "-c", "kill -9 $$"], 137, b""),
        (["nothing"], 127, b"nothing is not in the image, in no directory of its PATH"),
    ],
    ids=["signal", "not-in-path"],
)
def test_the_status_is_the_processs_own(tmp_path: Path, words: list[str], status: int, said: bytes) -> None:
    """All others: tests/guest/test_configurations.py, where it takes no boot."""
    disk = build(image(tmp_path / "image", {"Cmd": ["true"]}), tmp_path / "disk.ext4")
    # Also who wants to hear of errors only.
    ran = boot(disk, "-q", "--", *words)
    assert (ran.returncode, said in ran.stderr) == (status, True), ran


def test_orphans_are_reaped_and_ended(tmp_path: Path) -> None:
    orphans = "for i in $(seq 20); do sh -c 'sleep 1 & true'; done; sleep 1000 & sleep 3; ps -o stat | grep -c '^Z'"
    disk = build(image(tmp_path / "image", {"Cmd": ["sh", "-c", orphans]}), tmp_path / "disk.erofs")
    ran = boot(disk)
    assert ran.stdout == b"0\n"


def test_what_is_written_to_process_1s_output_is_the_processs(tmp_path: Path) -> None:
    # As cron's jobs do in containers.
    config = {"Cmd": ["sh", "-c", "echo said >/proc/1/fd/1; echo complaint >/proc/1/fd/2; exit 3"]}
    ran = boot(build(image(tmp_path / "image", config), tmp_path / "disk.erofs"))
    assert (ran.stdout, ran.stderr, ran.returncode) == (b"said\n", b"complaint\n", 3)


def test_a_term_to_boot_is_the_images_stop_signal(tmp_path: Path) -> None:
    config = {
        "Entrypoint": ["/bin/sh", "-c", "trap 'echo asked; exit 5' QUIT; echo ready; while :; do sleep 1; done"],
        "StopSignal": "SIGQUIT",
    }
    disk = build(image(tmp_path / "image", config), tmp_path / "disk.ext4")
    kernel = ["--kernel", guests.KERNEL / "vmlinuz", "--modules", guests.KERNEL / "lib/modules", "--timeout", 300]
    environment = {**command.ENVIRONMENT, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    argv = command.argv("boot", disk, *kernel)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, env=environment) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        running.send_signal(signal.SIGTERM)
        assert running.stdout.read() == b"asked\n"
    assert running.returncode == 5


def test_what_is_expected_ends_the_guest_well(tmp_path: Path) -> None:
    config = {"Cmd": ["sh", "-c", "echo it is ready; sleep 1000"]}
    disk = build(image(tmp_path / "image", config), tmp_path / "disk.ext4")
    ran = boot(disk, "--expect", "is ready")
    assert (ran.returncode, ran.stdout) == (0, b"it is ready\n")


def test_a_guest_that_goes_on_is_ended_in_time(tmp_path: Path) -> None:
    disk = build(image(tmp_path / "image", {"Cmd": ["sleep", "1000"]}), tmp_path / "disk.ext4")
    started = time.monotonic()
    ran = boot(disk, "--timeout", "8")
    assert (ran.returncode, b"the guest still ran after 8 seconds" in ran.stderr) == (124, True)
    assert time.monotonic() - started > 8


def test_a_damaged_description_ends_with_a_readable_line(tmp_path: Path) -> None:
    disk = build(image(tmp_path / "image", {"Cmd": ["true"]}), tmp_path / "disk.ext4")
    data = disk.read_bytes()
    assert data.count(b"rootfs-builder 2\0cmd") == 1
    disk.write_bytes(data.replace(b"rootfs-builder 2\0cmd", b"rootfs-builder 9\0cmd"))
    ran = boot(disk)
    assert ran.returncode == 1
    assert b"/.rootfs-builder/description: it is damaged, or of another version; build the disk again" in ran.stderr
