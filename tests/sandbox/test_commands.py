"""Each command that reads what anybody may have made, taken over where it does: it gets nowhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.command import ENVIRONMENT, run
from support.images import Spec, docker_archive, layout
from support.tars import file, tar

from builder.sandbox import landlock, seccomp

NEEDS = "NOT RUN: needs a kernel with Landlock and seccomp: Linux 6.12 or later, with landlock among its lsm="
needs_kernel = pytest.mark.skipif(landlock.version() < 6 or not seccomp.is_there(), reason=NEEDS)

# What programs it starts are confined as it is; and times and attributes are no kernel's to confine.
ITS_WORK = {"start a shell", "utime", "setxattr", "own a handed file"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with an image, and a disk of it that has metadata."""
    place = tmp_path_factory.mktemp("made")
    layout(place / "image", Spec((tar(file("file", b"content")),), tag="1"))
    docker_archive(place / "image.tar", Spec((tar(file("file", b"content")),), tag="localhost/a:1"), outer="gzip")
    words = ("--init", "none", "--cache", place / "cache", "--metadata-file", place / "disk.erofs.json")
    assert run("-q", "build", f"oci:{place}/image", "-o", place / "disk.erofs", *words).returncode == 0
    return place


def tried(place: str, home: Path, port: int, *words: object) -> tuple[dict[str, str], subprocess.CompletedProcess[str]]:
    """Run a command that is taken over at `place`; what came of each attempt, and of the command."""
    tests = Path(__file__).parents[1]
    over = [sys.executable, "-m", "support.taken_over", place, home, port, os.getpid(), *words, "--sandbox", "require"]
    environment = {**ENVIRONMENT, "PYTHONPATH": f"{tests.parent}:{tests}", "HOME": str(home)}
    done = subprocess.run(list(map(str, over)), env=environment, capture_output=True, text=True, check=False)
    first, _, done.stdout = done.stdout.partition("\n")
    assert first, done.stderr
    return json.loads(first), done


def done_of(outcomes: dict[str, str]) -> set[str]:
    return {name for name, outcome in outcomes.items() if outcome not in ("EACCES", "EPERM", "EXDEV")}


@needs_kernel
@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("builder.actions.verify:walk", ("verify", "{made}/disk.erofs")),
        ("builder.actions.verify:disk_digest", ("verify", "{made}/disk.erofs", "--quick")),
        ("builder.actions.inspect_disk:walk", ("inspect", "{made}/disk.erofs", "--tree")),
        ("builder.actions.inspect_disk:describe", ("inspect", "{made}/disk.erofs")),
        ("builder.actions.inspect:merge", ("inspect", "oci:{made}/image")),
        ("builder.actions.inspect:resolve", ("inspect", "oci:{made}/image", "--quick")),
        ("builder.actions.look:open_layer", ("inspect", "oci:{made}/image", "--tree")),
        ("builder.actions.pull:select", ("store", "--store", "{place}/s", "add", "oci:{made}/image:1")),
        (
            "builder.sources.docker_archive:parse_saved_images",
            ("store", "--store", "{place}/s", "pull", "{made}/image.tar", "oci:{made}/image:1"),
        ),
    ],
)
def test_a_command_that_was_taken_over_gets_nowhere(
    made: Path, tmp_path: Path, home: Path, port: int, place: str, words: tuple[str, ...]
) -> None:
    outcomes, done = tried(place, home, port, *(word.format(made=made, place=tmp_path) for word in words))
    assert done_of(outcomes) <= ITS_WORK
    assert len(outcomes) > len(ITS_WORK)
    assert {path.name: path.read_text() for path in home.iterdir() if path.is_file()} == dict.fromkeys(
        ("victim", "second"), "the user's own"
    )
    # And whoever did nothing wrong notices nothing of it.
    assert (done.returncode, "error" in done.stderr) == (0, False), done.stderr
