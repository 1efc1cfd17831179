"""What `rootfs-builder batch` can be told besides a list: of one image, and to build nothing."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from support.command import ENVIRONMENT, argv, run_in
from support.images import Spec, layout
from support.tars import file, tar

pytestmark = pytest.mark.heavy


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        layout(tmp_path / name, Spec((tar(file(name, b"content")),)))
    return tmp_path


def batch(place: Path, lines: str, *words: str) -> tuple[int, str]:
    """Run a batch of these lines; return its status and what it answered."""
    done = run_in(place, "batch", "-", "-o", "disks", *words, stdin=lines)
    return done.returncode, done.stdout


def test_what_a_line_says_of_metadata_and_dependencies_holds_and_the_report_knows_the_disk(place: Path) -> None:
    assert batch(place, "oci:a metadata-file=m.json depfile=a.d\n", "--report", "report.json")[0] == 0
    assert [path.name for path in (place / "disks").iterdir()] == ["a.ext4"]
    assert (place / "a.d").read_text().startswith("disks/a.ext4: \\\n  a/")
    (image,) = json.loads((place / "report.json").read_text())["images"]
    assert image["sha256"] == json.loads((place / "m.json").read_text())["disk"]["sha256"]


def test_a_dry_run_says_what_would_be_built_and_why_and_touches_nothing(place: Path) -> None:
    def foretold(lines: str) -> tuple[int, str]:
        return batch(place, lines, "--dry-run")

    said = "disks/a.ext4: would be built: no disk\ndisks/sub/b.ext4: would be built: no disk\n"
    assert foretold("oci:a\noci:b output=sub/b\n") == (0, said)
    assert not (place / "disks").exists()
    assert batch(place, "oci:a\n") == (0, "disks/a.ext4\n")
    said = "disks/a.ext4: up to date\ndisks/b.ext4: would be built: no disk\n"
    assert foretold("oci:a\noci:b\n") == (0, said)
    assert foretold("oci:a label=x\n") == (0, "disks/a.ext4: would be built: option label changed\n")
    said = "disks/a.ext4: cannot be built: nowhere: there is no such directory; check the path\n"
    assert foretold("oci:nowhere output=a\n") == (1, said)


def test_a_list_from_standard_input_that_is_closed_names_no_image(tmp_path: Path) -> None:
    command = ["sh", "-c", 'exec "$@" <&-', "sh", *argv("batch", "-", "-o", tmp_path / "disks")]
    done = subprocess.run(command, env=ENVIRONMENT, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "building 0 disks\nthe list names no image\n")
