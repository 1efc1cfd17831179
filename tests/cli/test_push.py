"""`push` and `pull` as users run them: what is printed, and what is left when they are cut short."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Event

import pytest
from support.command import ENVIRONMENT, argv, run
from support.proxy import Fault, Proxy
from support.pushed import make_disk, manifest
from support.registry import Registry

_MEASURE = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(status, usage.ru_maxrss * 1024)
"""


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_disk(tmp_path_factory.mktemp("disk"))


@pytest.mark.heavy
def test_what_is_pushed_and_pulled_is_said(registry: Registry, disk: Path, tmp_path: Path) -> None:
    name = f"{registry.host}/cli/disk"
    pushed = run("push", disk, f"docker://{name}:1")
    assert pushed.returncode == 0, pushed.stderr
    assert pushed.stdout.startswith(f"{name}@sha256:")
    assert f"compressing the disk, {disk.stat().st_size / 1024**2:.1f} MiB\n" in pushed.stderr
    again = run("push", disk, f"docker://{name}:1", "--progress", "json")
    assert (again.stdout, again.returncode) == (pushed.stdout, 0)
    events = [json.loads(line) for line in again.stderr.splitlines()]
    assert [each["name"] for each in events if each.get("event") == "stage"] == [
        "compressing the disk",
        f"pushing to {name}",
    ]
    assert {each["image"] for each in events} == {str(disk)}
    pulled = run("pull", f"docker://{pushed.stdout.strip()}", "-o", tmp_path / "pulled.ext4")
    assert (pulled.stdout, pulled.returncode) == (f"{tmp_path / 'pulled.ext4'}\n", 0)
    assert (tmp_path / "pulled.ext4").read_bytes() == disk.read_bytes()
    quiet = run("-q", "pull", f"docker://{name}:1", "-o", tmp_path / "pulled.ext4")
    assert (quiet.stdout, quiet.stderr) == (pulled.stdout, "")
    assert run("push", disk, f"docker://{name}:vm", "--as", "containerdisk").returncode == 0
    assert "artifactType" not in manifest(registry.host, "cli/disk", "vm")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["push", "DISK", "docker://HOST/cli/x"], 2, "write docker://REGISTRY/REPO:TAG"),
        (["push", "DISK", "docker://127.0.0.1:1/cli/x:1"], 1, "127.0.0.1:1: connection refused"),
        (["push", "/dev/null", "docker://HOST/cli/x:1"], 2, "is no disk"),
        (["push", "DISK", "docker://HOST/cli/x:1", "--as", "qcow2"], 2, "'qcow2' is not one of"),
        (["push", "DISK", "docker://HOST/cli/x:1", "--tmpdir", "/nowhere"], 1, "choose another --tmpdir"),
        (["pull", "docker://HOST/cli/x:1", "-o", "/nowhere/x"], 1, "does not exist; make it first"),
        (["pull", "docker://HOST/cli/nothing:1", "-o", "PLACE/x"], 1, "has no tag '1'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    registry: Registry, disk: Path, tmp_path: Path, words: list[str], status: int, said: str
) -> None:
    places = {"DISK": str(disk), "HOST": registry.host, "PLACE": str(tmp_path)}
    for name, place in places.items():
        words = [word.replace(name, place) for word in words]
    done = run("-q", *words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (status, "", 1), done.stderr
    assert said in done.stderr


@pytest.mark.heavy
@pytest.mark.parametrize("method", ["PATCH", "PUT .*uploads"])
def test_who_interrupts_a_push_leaves_nothing_here_or_there(
    proxy: Proxy, disk: Path, tmp_path: Path, method: str
) -> None:
    waiting, over = Event(), Event()

    def hold(_headers: dict[str, str]) -> None:
        # The registry sees nothing of it: an answer would end the session.
        waiting.set()
        over.wait(120)

    proxy.faults.append(Fault(method, 1, before=hold))
    (tmp_path / "tmp").mkdir()
    words = argv("push", disk, f"docker://{proxy.host}/cli/interrupted:1", "--tmpdir", tmp_path / "tmp")
    process = subprocess.Popen(words, env=ENVIRONMENT, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    assert waiting.wait(60)
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in said
    assert os.listdir(tmp_path / "tmp") == []
    # It is not waited for long: a busy machine may see it later.
    end = time.monotonic() + 60
    while not proxy.sent("DELETE") and time.monotonic() < end:
        time.sleep(0.02)
    over.set()
    assert len(proxy.sent("DELETE")) == 1
    assert proxy.sent("manifests/1") == proxy.sent("GET .*manifests/1")


@pytest.mark.heavy
def test_who_interrupts_a_pull_leaves_what_was_there(proxy: Proxy, disk: Path, tmp_path: Path) -> None:
    assert run("push", disk, f"docker://{proxy.host}/cli/cut:1").returncode == 0
    layer = manifest(proxy.host, "cli/cut", "1")["layers"][0]["digest"]
    waiting, never = Event(), Event()
    proxy.faults.append(Fault(f"GET .*{layer}", change=lambda _answer: waiting.set(), hold=never, hold_at=200_000))
    words = argv("pull", f"docker://{proxy.host}/cli/cut:1", "-o", tmp_path / "disk.ext4")
    process = subprocess.Popen(words, env=ENVIRONMENT, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    assert waiting.wait(60)
    process.send_signal(signal.SIGTERM)
    out, said = process.communicate(timeout=60)
    assert (process.returncode, out) == (143, b"")
    assert b"Traceback" not in said
    assert os.listdir(tmp_path) == ["home"]


@pytest.mark.slow
def test_memory_is_bounded_whatever_the_size(registry: Registry, tmp_path: Path) -> None:
    """Sparse, as disks are; and more than anybody should hold."""
    disk = tmp_path / "disk.ext4"
    subprocess.run(["mke2fs", "-q", "-t", "ext4", disk, "512M"], check=True, env={"PATH": "/usr/sbin:/sbin:/usr/bin"})
    with disk.open("r+b") as file:
        file.seek(256 << 20)
        for _ in range(180):
            file.write(os.urandom(1 << 20))
    commands = [
        argv("-q", "push", disk, f"docker://{registry.host}/cli/large:1", "--tmpdir", tmp_path),
        argv("-q", "pull", f"docker://{registry.host}/cli/large:1", "-o", tmp_path / "pulled"),
    ]
    for command in commands:
        words = [sys.executable, "-c", _MEASURE, *map(str, command)]
        measured = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, check=True)
        status, peak = map(int, measured.stdout.split())
        assert status == 0, measured.stderr
        assert peak < 150_000_000
    assert (tmp_path / "pulled").stat().st_blocks <= disk.stat().st_blocks
