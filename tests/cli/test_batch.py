"""`rootfs-builder batch` as its users meet it: every image on its own, one report."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from support.command import ENVIRONMENT, argv, run_in
from support.images import Spec, layout
from support.processes import children, wait_until
from support.tars import file, tar

from builder.sizes import human_size

pytestmark = pytest.mark.heavy


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Three small images, one of them damaged."""
    for name in ("a", "b", "broken"):
        layout(
            tmp_path / name, Spec((tar(file(name, name.encode() * 1000, mode=0o755)),), config={"Cmd": [f"/{name}"]})
        )
    damage(tmp_path / "broken")
    return tmp_path


@pytest.fixture
def slow_image(place: Path, slow_layout: Path) -> None:
    """An image whose build takes long enough to be caught in the middle, beside the others."""
    (place / "slow").symlink_to(slow_layout)


def damage(image: Path) -> None:
    blob = min((image / "blobs/sha256").iterdir(), key=lambda path: path.read_bytes()[:2] != b"\x1f\x8b")
    blob.write_bytes(blob.read_bytes()[:-1] + b"?")


def batch(place: Path, lines: str, *words: str) -> subprocess.CompletedProcess[str]:
    return run_in(place, "batch", "-", "-o", "disks", "--report", "report.json", *words, stdin=lines)


def statuses(place: Path) -> dict[str, str]:
    report = json.loads((place / "report.json").read_text())
    return {image["reference"]: image["status"] for image in report["images"]}


def disks(place: Path) -> list[str]:
    return sorted(path.name for path in (place / "disks").iterdir())


def test_every_image_becomes_a_disk_with_its_metadata(place: Path) -> None:
    done = batch(place, "oci:a\noci:b format=erofs label=bee\n", "-j", "2")
    assert (done.returncode, done.stdout) == (0, "disks/a.ext4\ndisks/b.erofs\n"), done.stderr
    assert sorted(line.split("] ")[-1] for line in done.stderr.splitlines()) == [
        "2 built",
        "building 2 disks",
        f"disks/a.ext4: built, {human_size((place / 'disks/a.ext4').stat().st_size)}",
        f"disks/b.erofs: built, {human_size((place / 'disks/b.erofs').stat().st_size)}",
    ]
    assert disks(place) == ["a.ext4", "a.ext4.json", "b.erofs", "b.erofs.json"]
    assert statuses(place) == {"oci:a": "built", "oci:b": "built"}


def test_one_failure_does_not_stop_the_others_and_is_reported(place: Path) -> None:
    done = batch(place, "oci:broken\noci:a\noci:nowhere\noci:b\n", "-j", "1")
    assert done.returncode == 1
    assert statuses(place) == {"oci:broken": "failed", "oci:a": "built", "oci:nowhere": "failed", "oci:b": "built"}
    assert done.stdout == "disks/a.ext4\ndisks/b.ext4\n"
    report = json.loads((place / "report.json").read_text())
    assert report["summary"] == {"built": 2, "up to date": 0, "failed": 2, "cancelled": 0}
    assert [image["exit_status"] for image in report["images"]] == [3, 0, 1, 0]
    assert "expected sha256:" in report["images"][0]["error"]
    assert disks(place) == ["a.ext4", "a.ext4.json", "b.ext4", "b.ext4.json"]


@pytest.mark.usefixtures("slow_image")
def test_fail_fast_cancels_the_rest(place: Path) -> None:
    done = batch(place, "oci:broken\noci:slow\noci:a\n", "-j", "2", "--fail-fast")
    assert done.returncode == 1
    assert statuses(place) == {"oci:broken": "failed", "oci:slow": "cancelled", "oci:a": "cancelled"}
    assert disks(place) == []


def test_running_again_builds_only_what_changed(place: Path) -> None:
    lines = "oci:a\noci:b\n"
    batch(place, lines)
    before = (place / "disks/a.ext4").stat().st_mtime_ns
    layout(place / "b", Spec((tar(file("b", b"new")),)))
    assert batch(place, lines).returncode == 0
    assert statuses(place) == {"oci:a": "up to date", "oci:b": "built"}
    assert (place / "disks/a.ext4").stat().st_mtime_ns == before
    batch(place, "oci:a\noci:b label=new\n")
    assert statuses(place) == {"oci:a": "up to date", "oci:b": "built"}
    batch(place, lines, "--force")
    assert statuses(place) == {"oci:a": "built", "oci:b": "built"}
    os.truncate(place / "disks/a.ext4", 4096)
    batch(place, lines)
    assert statuses(place)["oci:a"] == "built"


def test_a_disk_from_elsewhere_is_not_taken_for_ours(place: Path) -> None:
    (place / "disks").mkdir()
    (place / "disks/a.ext4").write_text("precious")
    done = batch(place, "oci:a\n")
    assert done.returncode == 1
    assert (place / "disks/a.ext4").read_text() == "precious"


def test_mistakes_in_the_list_are_found_before_anything_starts(place: Path) -> None:
    done = batch(place, "oci:a\noci:a\n")
    assert done.returncode == 2
    assert done.stderr.startswith("rootfs-builder: error: <stdin> line 2: writes disks/a.ext4, and so does line 1")
    assert not (place / "disks").exists()


def test_failures_are_named_however_quiet_the_batch(place: Path) -> None:
    for words in (("-q", "batch"), ("batch", "--progress", "none")):
        done = run_in(place, *words, "-", "-o", "disks", stdin="oci:nowhere\n")
        assert done.returncode == 1
        assert "error: [1/1] disks/nowhere.ext4: failed: nowhere: there is no such directory" in done.stderr


def test_lists_of_other_systems_and_editors_are_read(place: Path) -> None:
    done = batch(place, "\ufeffoci:a label=x\r\n\r\noci:b\r\n# end")
    assert (done.returncode, disks(place)) == (0, ["a.ext4", "a.ext4.json", "b.ext4", "b.ext4.json"]), done.stderr


def test_a_file_that_is_no_list_is_refused(place: Path) -> None:
    (place / "list").write_bytes(b"\x7fELF\0\xff\n")
    done = run_in(place, "batch", "list", "-o", "disks")
    assert (done.returncode, done.stderr) == (
        2,
        "rootfs-builder: error: list line 1: this is no text; name a list of images\n",
    )
    # Whose first page nobody can read.
    done = run_in(place, "batch", "/proc/self/mem", "-o", "disks")
    said = "rootfs-builder: error: /proc/self/mem: it cannot be read: Input/output error\n"
    assert (done.returncode, done.stderr) == (2, said)


@pytest.mark.parametrize(
    ("report", "reason"),
    [
        ("list", "the disk is made from this file, which would be written over"),
        ("disks/a.ext4", "two outputs would be written to this file"),
        ("disks/a.ext4.json", "two outputs would be written to this file"),
    ],
)
def test_a_report_is_never_written_over_the_list_or_a_disk(place: Path, report: str, reason: str) -> None:
    (place / "list").write_text("oci:a\n")
    done = run_in(place, "batch", "list", "-o", "disks", "--report", report)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{report}: {reason}" in done.stderr
    assert (place / "list").read_text() == "oci:a\n"


def test_a_report_may_stand_among_the_disks_it_is_about(place: Path) -> None:
    done = batch(place, "oci:a\n", "--report", "disks/report.json")
    assert done.returncode == 0, done.stderr
    assert disks(place) == ["a.ext4", "a.ext4.json", "report.json"]


def test_metadata_that_is_none_of_ours_is_written_again(place: Path) -> None:
    batch(place, "oci:a\n")
    before = (place / "disks/a.ext4.json").read_bytes()
    (place / "disks/a.ext4.json").write_bytes(b"{")
    assert batch(place, "oci:a\n").returncode == 0
    assert (place / "disks/a.ext4.json").read_bytes() == before


def test_a_file_where_a_directory_should_be_fails_its_image_alone(place: Path) -> None:
    batch(place, "oci:a\n")
    assert batch(place, "oci:b output=a.ext4/b\noci:b\n").returncode == 1
    report = json.loads((place / "report.json").read_text())
    assert [image["status"] for image in report["images"]] == ["failed", "built"]
    assert "disks/a.ext4: " in report["images"][0]["error"]


def start(place: Path, lines: str) -> subprocess.Popen[bytes]:
    (place / "list").write_text(lines)
    words = argv("batch", "list", "-o", "disks", "-j", "1", "--report", "report.json")
    return subprocess.Popen(words, cwd=place, env=ENVIRONMENT, stderr=subprocess.PIPE)


def building(place: Path) -> bool:
    """Whether a build has begun to write; its work directory is hidden beside the output."""
    return (place / "disks").is_dir() and any(name.startswith(".slow") for name in disks(place))


@pytest.mark.usefixtures("slow_image")
def test_a_killed_worker_fails_its_image_alone(place: Path) -> None:
    with start(place, "oci:slow\noci:a\n") as process:
        wait_until(lambda: building(place))
        # The batch has a process that is ready to build, and that has one that builds.
        (ready,) = children(process.pid)
        (builder,) = children(ready)
        os.kill(builder, signal.SIGKILL)
        assert process.wait() == 1
    assert statuses(place) == {"oci:slow": "failed", "oci:a": "built"}
    assert "killed by signal 9" in (place / "report.json").read_text()


@pytest.mark.usefixtures("slow_image")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_an_interrupted_batch_ends_its_builds_and_leaves_no_litter(
    place: Path, number: signal.Signals, status: int
) -> None:
    with start(place, "oci:slow\noci:a\n") as process:
        wait_until(lambda: building(place))
        process.send_signal(number)
        assert process.wait(timeout=120) == status
    assert disks(place) == []
    assert statuses(place) == {"oci:slow": "cancelled", "oci:a": "cancelled"}


@pytest.mark.usefixtures("slow_image")
def test_builds_of_a_killed_batch_give_up_and_clean_up_and_it_leaves_a_report(place: Path) -> None:
    with start(place, "oci:a\noci:slow\noci:b\n") as process:
        # The next build begins while the report of the last is being written.
        wait_until(lambda: building(place) and statuses(place)["oci:a"] == "built")
        process.kill()
        process.wait()
    wait_until(lambda: disks(place) == ["a.ext4", "a.ext4.json"])
    assert statuses(place) == {"oci:a": "built", "oci:slow": "unfinished", "oci:b": "unfinished"}


def test_a_report_says_what_came_of_each_image(place: Path) -> None:
    assert batch(place, "oci:a\n").returncode == 0
    (built,) = json.loads((place / "report.json").read_text())["images"]
    disk = (place / "disks/a.ext4").read_bytes()
    recorded = json.loads((place / "disks/a.ext4.json").read_text())
    assert 0 <= built.pop("begun") < built.pop("ended")
    assert built.pop("seconds") > 0
    assert built == {
        "line": 1,
        "reference": "oci:a",
        "output": "disks/a.ext4",
        "status": "built",
        "exit_status": 0,
        "size": len(disk),
        "sha256": hashlib.sha256(disk).hexdigest(),
        "uuid": recorded["disk"]["uuid"],
        "error": None,
        "notices": [],
        "reason": "no disk",
        "source": recorded["image"]["manifest"]["digest"],
        "layers": [{"digest": layer["digest"], "size": layer["size"]} for layer in recorded["image"]["layers"]],
        "worker": 1,
        "attempts": 1,
        "passing": False,
        "pushed": None,
    }
    # The disk's own record has no clock.
    assert "seconds" not in (place / "disks/a.ext4.json").read_text()
    assert batch(place, "oci:a\n").returncode == 0
    (kept,) = json.loads((place / "report.json").read_text())["images"]
    assert kept.pop("seconds") > 0
    # No process had to look.
    none = {"reason": None, "begun": None, "ended": None, "worker": None, "attempts": 0}
    assert kept == {**built, **none, "status": "up to date"}


@pytest.mark.parametrize("progress", ["json", "plain"])
def test_progress_says_which_image_it_is_of(place: Path, progress: str) -> None:
    done = batch(place, "oci:a\noci:b\n", "--progress", progress)
    assert done.returncode == 0, done.stderr
    if progress == "json":
        events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
        stages = [(event.get("image"), event["name"]) for event in events if event.get("event") == "stage"]
    else:
        stages = [(image, name) for image, _, name in (line.partition(": ") for line in done.stderr.splitlines())]
    assert {image for image, name in stages if name == "packing ext4"} == {"disks/a.ext4", "disks/b.ext4"}


def test_a_report_called_html_is_a_page_beside_the_one_in_json(place: Path) -> None:
    done = batch(place, "oci:a\noci:broken\n", "--report", "report.html")
    assert done.returncode == 1
    page = (place / "report.html").read_text()
    assert "<h1>1 of 2 disks are there</h1>" in page
    # What metadata say of the disk's contents: the file a in it.
    assert "<text" in page
    assert statuses(place) == {"oci:a": "built", "oci:broken": "failed"}
    again = run_in(place, "batch", "-", "-o", "disks", "--report", "x.html", "--report", "./x.html", stdin="oci:a\n")
    assert (again.returncode, "two outputs would be written" in again.stderr) == (2, True)
