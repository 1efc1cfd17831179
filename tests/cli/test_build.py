"""`rootfs-builder build` as its users meet it: files, statuses, one clear line."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support.command import ENVIRONMENT, argv, run
from support.images import Spec, layout
from support.tars import directory, file, hardlink, symlink, tar

BASE = tar(directory("etc"), file("etc/hosts", b"127.0.0.1 localhost\n"), symlink("hosts", "etc/hosts"))
TOP = tar(file("app", b"#!/bin/sh\n" * 5000, mode=0o4755), hardlink("app2", "app"))
FORMATS = ["ext4", "erofs"]


@pytest.fixture
def image(tmp_path: Path) -> str:
    layout(tmp_path / "image", Spec((BASE, TOP), config={"Cmd": ["/app"], "Env": ["A=1"]}))
    return f"oci:{tmp_path}/image"


def left_in(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir() if entry.name != "image")


@pytest.mark.parametrize("format", FORMATS)
def test_a_build_leaves_the_disk_and_prints_its_path(tmp_path: Path, image: str, format: str) -> None:
    disk = tmp_path / f"rootfs.{format}"
    done = run("build", image, "-o", disk)
    assert (done.returncode, done.stdout) == (0, f"{disk}\n")
    assert f"{disk}: {format}" in done.stderr
    assert left_in(tmp_path) == [disk.name]


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_image_gives_the_same_bytes_wherever_and_however(tmp_path: Path, image: str, format: str) -> None:
    digests = set()
    for number, (zone, umask) in enumerate([("UTC", 0o022), ("Asia/Tokyo", 0o077)]):
        place = tmp_path / f"{number}"
        place.mkdir()
        before = os.umask(umask)
        try:
            done = run("build", image, "-o", place / f"d.{format}", "--workdir", place, TZ=zone, LC_ALL="C.UTF-8")
        finally:
            os.umask(before)
        assert done.returncode == 0, done.stderr
        digests.add(hashlib.sha256((place / f"d.{format}").read_bytes()).hexdigest())
        time.sleep(1.1)  # a clock that leaks in shows in whole seconds
    assert len(digests) == 1


def test_quiet_says_nothing_and_still_prints_the_path(tmp_path: Path, image: str) -> None:
    done = run("-q", "build", image, "-o", tmp_path / "d.ext4")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{tmp_path}/d.ext4\n", "")


def test_progress_as_json_is_one_object_a_line(tmp_path: Path, image: str) -> None:
    done = run("--log-format", "json", "build", image, "-o", tmp_path / "d.ext4", "--progress", "json")
    events = [json.loads(line) for line in done.stderr.splitlines()]
    stages = [event["name"] for event in events if event.get("event") == "stage"]
    assert [stage.split(" (")[0] for stage in stages[:3]] == [
        "reading layer 1 of 2",
        "reading layer 2 of 2",
        "packing ext4",
    ]


def test_an_older_disk_is_replaced_and_another_file_is_not(tmp_path: Path, image: str) -> None:
    disk = tmp_path / "d.ext4"
    assert run("build", image, "-o", disk).returncode == 0
    before = disk.stat().st_ino
    assert run("build", image, "-o", disk).returncode == 0
    assert disk.stat().st_ino != before
    disk.write_text("precious")
    refused = run("build", image, "-o", disk)
    assert refused.returncode == 1
    assert "--force" in refused.stderr
    assert disk.read_text() == "precious"
    assert run("build", image, "-o", disk, "--force").returncode == 0


WRONG = {
    "no output": (["build", "oci:image"], 2, "Missing option '-o'"),
    "no command": ([], 2, "Missing command"),
    "unknown option": (["build", "oci:image", "-o", "d.ext4", "--colour"], 2, "No such option"),
    "no size": (["build", "oci:image", "-o", "d.ext4", "--size", "big"], 2, "'big' is not a size"),
    "no platform": (["build", "oci:image", "-o", "d.ext4", "--platform", "arm"], 2, "linux/arm"),
    "no format": (["build", "oci:image", "-o", "disk"], 2, "--format"),
    "no transport": (["build", "ftp:image", "-o", "d.ext4"], 2, "ftp"),
    "no image": (["build", "oci:nowhere", "-o", "d.ext4"], 1, "nowhere"),
    "no tag": (["build", "oci:image:2", "-o", "d.ext4"], 1, "latest"),
    "wrong platform": (["build", "oci:image", "-o", "d.ext4", "--platform", "linux/s390x"], 1, "linux/amd64"),
    "no directory": (["build", "oci:image", "-o", "none/d.ext4"], 1, "none does not exist"),
    "too small": (["build", "oci:image", "-o", "d.ext4", "--size", "64K"], 1, "--size"),
    "erofs has no inodes to set": (["build", "oci:image", "-o", "d.erofs", "--inodes", "9"], 2, "erofs"),
    "ext4 has no compression": (["build", "oci:image", "-o", "d.ext4", "--compress", "lz4"], 2, "erofs"),
    "bad epoch": (["build", "oci:image", "-o", "d.ext4"], 2, "SOURCE_DATE_EPOCH"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_in_one_line_with_the_right_status(tmp_path: Path, image: str, name: str) -> None:
    words, status, said = WRONG[name]
    done = subprocess.run(
        argv("-q", *words),
        cwd=tmp_path,
        env={**ENVIRONMENT, **({"SOURCE_DATE_EPOCH": "now"} if name == "bad epoch" else {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    (complaint,) = done.stderr.splitlines()
    assert complaint.startswith("rootfs-builder: error: ")
    assert said in complaint
    assert left_in(tmp_path) == []


def test_a_damaged_image_is_refused_and_leaves_nothing(tmp_path: Path, image: str) -> None:
    blob = max((tmp_path / "image/blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(blob.read_bytes())
    data[-1] ^= 1
    blob.write_bytes(data)
    done = run(
        "-v", "build", image, "-o", tmp_path / "d.ext4", "--metadata-file", tmp_path / "m", "--depfile", tmp_path / "d"
    )
    assert done.returncode == 3
    assert f"expected sha256:{blob.name}" in done.stderr
    assert left_in(tmp_path) == []


def test_metadata_and_dependencies_are_written_beside_the_disk(tmp_path: Path, image: str) -> None:
    words = ["build", image, "-o", "d.ext4", "--metadata-file", "m.json", "--depfile", "d.ext4.d"]
    done = subprocess.run(argv(*words), cwd=tmp_path, env=ENVIRONMENT, check=True, capture_output=True, text=True)
    assert done.stdout == "d.ext4\n"
    metadata = json.loads((tmp_path / "m.json").read_text())
    disk = (tmp_path / "d.ext4").read_bytes()
    assert metadata["disk"]["sha256"] == hashlib.sha256(disk).hexdigest()
    assert metadata["disk"]["size"] == len(disk)
    assert metadata["disk"]["format"] == "ext4"
    assert metadata["image"]["reference"] == image
    assert metadata["image"]["config"]["Cmd"] == ["/app"]
    assert [layer["diffId"] for layer in metadata["image"]["layers"]] == [
        f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in (BASE, TOP)
    ]
    assert set(metadata["tools"]) >= {"mke2fs"}
    rule = (tmp_path / "d.ext4.d").read_text().split("\n\n")[0]
    assert rule.startswith("d.ext4: \\\n")
    blobs = {str(path) for path in (tmp_path / "image/blobs/sha256").iterdir()}
    assert blobs <= set(rule.replace("\\\n", " ").split())


@pytest.fixture
def large_image(tmp_path: Path) -> str:
    """Slow enough to be caught in the middle."""
    noise = os.urandom(1 << 20)
    layers = tuple(tar(*(file(f"{n}/{m}", noise) for m in range(40))) for n in range(4))
    layout(tmp_path / "image", Spec(layers, compression="none"))
    return f"oci:{tmp_path}/image"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("stage", ["reading layer 3", "packing"])
def test_an_interrupted_build_leaves_nothing(
    tmp_path: Path, large_image: str, number: signal.Signals, status: int, stage: str
) -> None:
    with start_until(stage, large_image, tmp_path / "d.ext4") as process:
        process.send_signal(number)
        assert process.wait(timeout=30) == status
    assert left_in(tmp_path) == []


def test_a_killed_build_leaves_no_output_and_the_next_one_clears_up(tmp_path: Path, large_image: str) -> None:
    for stage in ("reading layer 2", "packing"):
        with start_until(stage, large_image, tmp_path / "d.ext4") as process:
            process.kill()
            process.wait()
        assert "d.ext4" not in left_in(tmp_path)
    assert run("build", large_image, "-o", tmp_path / "d.ext4").returncode == 0
    assert left_in(tmp_path) == ["d.ext4"]


def start_until(stage: str, image: str, output: Path) -> subprocess.Popen[str]:
    """Start a build and return when it says that it has reached a stage."""
    words = argv("build", image, "-o", output, "--progress", "plain")
    process = subprocess.Popen(words, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(stage):
            return process
    raise AssertionError(f"the build ended before {stage!r}")


@pytest.mark.root
@pytest.mark.parametrize(
    ("tool", "format", "package"), [("mke2fs", "ext4", "e2fsprogs"), ("mkfs.erofs", "erofs", "erofs-utils")]
)
def test_a_tool_that_is_not_installed_is_named_with_its_packages(
    tmp_path: Path, image: str, tool: str, format: str, package: str
) -> None:
    found = shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    assert found is not None
    # In a mount namespace of its own, something that is no program stands where the tool is.
    hidden = ["unshare", "-m", "sh", "-c", 'mount --bind /dev/null "$0" && exec "$@"', os.path.realpath(found)]
    done = subprocess.run(
        [*hidden, *argv("build", image, "-o", tmp_path / f"d.{format}")],
        env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 4
    assert f"{tool} is not installed: install {package} (Debian), {package} (Fedora), {package} (Alpine)" in done.stderr
    assert left_in(tmp_path) == []
