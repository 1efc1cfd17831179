"""`rootfs-builder build` as its users meet it: files, statuses, one clear line."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from support.command import ENVIRONMENT, argv, run, run_in
from support.images import Spec, layout, oci_archive
from support.tars import directory, file, hardlink, symlink, tar

from builder.disk.erofs.features import installed_features

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


@pytest.mark.heavy
@pytest.mark.parametrize("format", FORMATS)
def test_the_same_image_gives_the_same_bytes_wherever_and_however(tmp_path: Path, image: str, format: str) -> None:
    digests = set()
    for number, (zone, umask) in enumerate([("UTC", 0o022), ("Asia/Tokyo", 0o077)]):
        place = tmp_path / f"{number}"
        place.mkdir()
        if number:
            time.sleep(1.1)  # a clock that leaks in shows in whole seconds
        before = os.umask(umask)
        try:
            done = run("build", image, "-o", place / f"d.{format}", "--tmpdir", place, TZ=zone, LC_ALL="C.UTF-8")
        finally:
            os.umask(before)
        assert done.returncode == 0, done.stderr
        digests.add(hashlib.sha256((place / f"d.{format}").read_bytes()).hexdigest())
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


@pytest.mark.heavy
def test_an_older_disk_is_replaced_and_another_file_is_not(tmp_path: Path, image: str) -> None:
    disk = tmp_path / "d.ext4"
    assert run("build", image, "-o", disk).returncode == 0
    before = disk.stat().st_ino
    assert run("build", image, "-o", disk, "--label", "new").returncode == 0
    assert disk.stat().st_ino != before
    disk.write_text("precious")
    refused = run("build", image, "-o", disk)
    assert refused.returncode == 1
    assert "--force" in refused.stderr
    assert disk.read_text() == "precious"
    assert run("build", image, "-o", disk, "--force").returncode == 0


def test_the_command_alone_says_that_it_wants_one_of_its_commands() -> None:
    done = run()
    said = "rootfs-builder: error: Missing command. (see rootfs-builder --help)\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)


WRONG = {
    "no output": (["build", "oci:image"], 2, "Missing option '-o'"),
    "no command": ([], 2, "Missing command"),
    "unknown option": (["build", "oci:image", "-o", "d.ext4", "--colour"], 2, "No such option"),
    "no size": (["build", "oci:image", "-o", "d.ext4", "--size", "big"], 2, "'big' is not a size"),
    "size beyond files": (["build", "oci:image", "-o", "d.erofs", "--size", "8388608T"], 2, "more bytes than a file"),
    "size beyond reason": (["build", "oci:image", "-o", "d.erofs", "--size", "9" * 5000], 2, "more bytes than a file"),
    "no platform": (["build", "oci:image", "-o", "d.ext4", "--platform", "arm"], 2, "linux/arm"),
    "what to run, and no init": (
        ["build", "oci:image", "-o", "d.ext4", "--init", "none", "--cmd", "id"],
        2,
        "leave out --init none",
    ),
    "no format": (["build", "oci:image", "-o", "disk"], 2, "--format"),
    "no transport": (["build", "ftp:image", "-o", "d.ext4"], 2, "ftp"),
    "no image": (["build", "oci:nowhere", "-o", "d.ext4"], 1, "nowhere"),
    "no tag": (["build", "oci:image:2", "-o", "d.ext4"], 1, "latest"),
    "wrong platform": (["build", "oci:image", "-o", "d.ext4", "--platform", "linux/s390x"], 1, "linux/amd64"),
    "no directory": (["build", "oci:image", "-o", "none/d.ext4"], 1, "none does not exist"),
    "too small": (["build", "oci:image", "-o", "d.ext4", "--size", "64K"], 1, "--size"),
    "erofs has no inodes to set": (["build", "oci:image", "-o", "d.erofs", "--inodes", "9"], 2, "erofs"),
    "ext4 has no compression": (["build", "oci:image", "-o", "d.ext4", "--compress", "lz4"], 2, "erofs"),
    "output without a name": (["build", "oci:image", "-o", ""], 2, "names no file"),
    "metadata without a name": (["build", "oci:image", "-o", "d.ext4", "--metadata-file", ""], 2, "names no file"),
    "metadata to no stream": (
        ["build", "oci:image", "-o", "d.ext4", "--metadata-file", "-"],
        2,
        "'-' is no stream",
    ),
    "an empty disk of erofs": (["blank", "-o", "d.erofs", "--size", "16M"], 2, "is an ext4; call it NAME.ext4"),
    "metadata over the disk": (["build", "oci:image", "-o", "d.ext4", "--metadata-file", "./d.ext4"], 2, "two outputs"),
    "two side outputs in one": (
        ["build", "oci:image", "-o", "d.ext4", "--metadata-file", "m", "--depfile", "m"],
        2,
        "two outputs",
    ),
    "unpack to here": (["unpack", "oci:image", "image/blobs/.."], 1, "not an empty directory"),
    "bad epoch": (["build", "oci:image", "-o", "d.ext4"], 2, "SOURCE_DATE_EPOCH"),
    "far epoch": (["build", "oci:image", "-o", "d.erofs"], 2, "SOURCE_DATE_EPOCH"),
}

EPOCHS = {"bad epoch": {"SOURCE_DATE_EPOCH": "now"}, "far epoch": {"SOURCE_DATE_EPOCH": "9" * 30}}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_in_one_line_with_the_right_status(tmp_path: Path, image: str, name: str) -> None:
    words, status, said = WRONG[name]
    done = run_in(tmp_path, "-q", *words, **EPOCHS.get(name, {}))
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    (complaint,) = done.stderr.splitlines()
    assert complaint.startswith("rootfs-builder: error: ")
    assert said in complaint
    assert left_in(tmp_path) == []


@pytest.mark.heavy
@pytest.mark.skipif(installed_features().tar, reason="this mkfs.erofs is killed by the limit that stands in here")
def test_a_size_that_the_file_system_of_the_output_cannot_hold_is_said(tmp_path: Path, image: str) -> None:
    command = argv("-q", "build", image, "-o", tmp_path / "d.erofs", "--size", "1G")
    done = subprocess.run(
        ["prlimit", "--fsize=536870912", *command], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "d.erofs" in done.stderr
    assert done.stderr.endswith("File too large; choose another --tmpdir or output\n")
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


def test_a_ratio_below_the_default_counts_for_small_layers_too(tmp_path: Path) -> None:
    layout(tmp_path / "layout", Spec(layers=(tar(file("zeros", bytes(4 << 20))),)))
    reference = f"oci:{tmp_path / 'layout'}"
    refused = run("unpack", reference, tmp_path / "root", "--max-ratio", "100")
    assert refused.returncode == 3
    assert "a ratio over 100; raise --max-ratio" in refused.stderr
    assert os.listdir(tmp_path) == ["layout"]
    assert run("unpack", reference, tmp_path / "root").returncode == 0


@pytest.mark.parametrize("transport", ["oci-archive:", ""])
def test_limits_hold_for_an_archive_that_is_compressed_as_a_whole(tmp_path: Path, transport: str) -> None:
    place = tmp_path / "image.tar.gz"
    oci_archive(place, Spec(layers=(tar(file("zeros", bytes(4 << 20))),), compression="none"), outer="gzip")
    for option, value, reason in (
        ("--max-size", "1M", "it unpacks to more than 1048576 bytes; raise --max-size if you trust it"),
        ("--max-ratio", "100", "a ratio over 100; raise --max-ratio if you trust it"),
    ):
        refused = run("unpack", f"{transport}{place}", tmp_path / "root", option, value)
        assert (refused.returncode, reason in refused.stderr) == (3, True), refused.stderr
        assert refused.stderr.startswith(f"rootfs-builder: error: {place}: ")
        assert os.listdir(tmp_path) == [place.name]
    assert run("unpack", f"{transport}{place}", tmp_path / "root").returncode == 0


def test_metadata_and_dependencies_are_written_beside_the_disk(tmp_path: Path, image: str) -> None:
    words = ["build", image, "-o", "d.ext4", "--metadata-file", "m.json", "--depfile", "d.ext4.d"]
    done = run_in(tmp_path, *words)
    assert (done.returncode, done.stdout) == (0, "d.ext4\n")
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


def test_the_format_is_told_from_the_name_that_was_given_not_from_what_it_links_to(tmp_path: Path, image: str) -> None:
    (tmp_path / "d.erofs").symlink_to("v1")
    assert run("build", image, "-o", tmp_path / "d.erofs").returncode == 0
    assert left_in(tmp_path) == ["d.erofs", "v1"]
    assert (tmp_path / "d.erofs").is_symlink()
    assert (tmp_path / "v1").read_bytes()[1024:1028] == b"\xe2\xe1\xf5\xe0"


def test_a_side_output_that_is_a_symlink_is_written_through(tmp_path: Path, image: str) -> None:
    (tmp_path / "m.json").symlink_to("v1.json")
    assert run("build", image, "-o", tmp_path / "d.ext4", "--metadata-file", tmp_path / "m.json").returncode == 0
    assert (tmp_path / "m.json").is_symlink()
    assert json.loads((tmp_path / "v1.json").read_text())["disk"]["format"] == "ext4"


def test_the_current_directory_is_not_unpacked_over(tmp_path: Path, image: str) -> None:
    place = tmp_path / "root"
    place.mkdir()
    done = run_in(place, "unpack", image, ".")
    assert done.returncode == 1
    assert "is the current directory" in done.stderr
    assert list(place.iterdir()) == []


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
