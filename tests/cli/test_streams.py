"""Standard streams: terminals, pipes, full and closed ones; what is asked for goes out whole, and alone."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from support.command import ENVIRONMENT, argv, run
from support.images import Spec, layout
from support.tars import file, tar


@pytest.fixture
def image(tmp_path: Path) -> str:
    layout(tmp_path / "image", Spec((tar(*(file(f"{n}", b"content" * 1000) for n in range(200))),)))
    return f"oci:{tmp_path}/image"


def on_terminal(*words: object) -> str:
    """Run the command on a terminal and return what the terminal was sent."""
    ours, theirs = pty.openpty()
    said = b""
    with subprocess.Popen(argv(*words), env=ENVIRONMENT, stdout=theirs, stderr=theirs):
        os.close(theirs)
        # OSError is how a terminal says that its last program has gone.
        with suppress(OSError):
            while data := os.read(ours, 4096):
                said += data
    os.close(ours)
    return said.decode()


@pytest.mark.parametrize("command", ["build", "unpack", "inspect"])
def test_on_a_terminal_progress_is_wiped_before_the_answer(tmp_path: Path, image: str, command: str) -> None:
    output = tmp_path / "out.ext4"
    words = {"build": ["-o", str(output)], "unpack": [str(output)], "inspect": []}[command]
    said = on_terminal(command, image, *words)
    assert "reading layer 1 of 1" in said
    shown = [line.rpartition("\r\x1b[K")[2] for line in said.removesuffix("\r\n").split("\r\n")]
    first = {"build": f"{output}: ext4, ", "unpack": str(output), "inspect": f"Image:        {image}"}[command]
    # An ordinary user hears first what was not unpacked.
    assert any(line.startswith(first) for line in shown), shown
    assert "reading layer" not in "".join(shown)


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-"])
def test_a_closed_stream_does_not_harm_the_disk(tmp_path: Path, image: str, closed: str) -> None:
    whole, disk = tmp_path / "whole.ext4", tmp_path / "d.ext4"
    assert run("build", image, "-o", whole).returncode == 0
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", *argv("build", image, "-o", disk)]
    assert subprocess.run(command, env=ENVIRONMENT, check=False).returncode == 0
    assert disk.read_bytes() == whole.read_bytes()


def test_messages_never_go_to_standard_output(tmp_path: Path) -> None:
    command = ["sh", "-c", 'exec "$@" 2>&-', "sh", *argv("build", "oci:nowhere", "-o", tmp_path / "d.ext4")]
    done = subprocess.run(command, env=ENVIRONMENT, check=False, capture_output=True)
    assert (done.returncode, done.stdout) == (1, b"")


@pytest.mark.parametrize("words", [["inspect", "--quick"], ["inspect", "--json"]])
def test_an_answer_that_cannot_be_written_is_one_clear_failure(image: str, words: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            argv("-q", *words, image), env=ENVIRONMENT, check=False, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1
    assert done.stderr == "rootfs-builder: error: standard output: No space left on device; send it elsewhere\n"


def test_names_of_any_bytes_come_out_as_they_are_and_in_json_as_json(tmp_path: Path, image: str) -> None:
    odd = os.fsdecode(b"im\xffage")
    shutil.copytree(tmp_path / "image", tmp_path / odd)
    words = argv("build", f"oci:{odd}", "-o", os.fsdecode(b"\xff.ext4"), "--metadata-file", "m.json")
    strict = {**ENVIRONMENT, "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(words, cwd=tmp_path, env=strict, check=False, capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"\xff.ext4\n"), done.stderr
    assert json.loads((tmp_path / "m.json").read_text("utf-8"))["image"]["reference"] == f"oci:{odd}"
    words = argv("inspect", "--quick", "--json", f"oci:{odd}")
    done = subprocess.run(words, cwd=tmp_path, env=strict, check=True, capture_output=True)
    assert json.loads(done.stdout.decode("utf-8"))["reference"] == f"oci:{odd}"


def test_json_progress_comes_a_few_times_a_second_not_once_a_file(tmp_path: Path, image: str) -> None:
    done = run("build", image, "-o", tmp_path / "d.ext4", "--progress", "json")
    events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert {event["event"] for event in events} >= {"stage"}
    assert sum(event["event"] == "progress" for event in events) < 100


MISTAKES = [
    (["colour"], "No such command 'colour'. (see rootfs-builder --help)"),
    ([], "Missing command. (see rootfs-builder --help)"),
    (["build"], "Missing argument 'IMAGE'. (see rootfs-builder build --help)"),
    (
        ["completion"],
        "Missing argument '{bash|zsh|fish}'. Choose from: bash, zsh, fish (see rootfs-builder completion --help)",
    ),
]


@pytest.mark.parametrize(("words", "message"), MISTAKES, ids=lambda value: " ".join(value))
def test_mistakes_in_the_words_are_json_too_if_that_is_asked_for(words: list[str], message: str) -> None:
    done = run("--log-format", "json", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert json.loads(done.stderr) == {"level": "error", "message": message}


@pytest.mark.parametrize(
    "words",
    [
        ["--log-format", "json", "--bogus"],
        ["--log-format", "json", "--bogus", "build"],
        ["--log-format=json", "--quiet=yes"],
        ["--bogus", "--log-format=json", "build"],
    ],
)
def test_mistakes_before_the_sub_command_are_json_too_if_that_is_asked_for(words: list[str]) -> None:
    done = run(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert json.loads(done.stderr)["level"] == "error"


def test_an_option_behind_the_sub_command_says_nothing_of_the_form_of_messages() -> None:
    assert run("--bogus", "build", "--log-format=json").stderr.startswith("rootfs-builder: error: No such option")


@pytest.mark.parametrize("words", [["--log-format"], ["--log-format", "xml"], ["--bogus", "--log-format"]])
def test_a_mistake_in_the_form_of_messages_is_said_as_text(words: list[str]) -> None:
    done = run(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("rootfs-builder: error: ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_load(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"NOT RUN: {shell} is not installed")
    script = run("completion", shell).stdout
    subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_an_image_is_completed_as_a_path() -> None:
    words = {"_ROOTFS_BUILDER_COMPLETE": "bash_complete", "COMP_WORDS": "rootfs-builder build im", "COMP_CWORD": "2"}
    assert run(**words).stdout == "file,im\n"
