"""Standard streams: terminals, pipes, full and closed ones; what is asked for goes out whole, and alone."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from support.command import ENVIRONMENT, argv, run
from support.images import Spec, layout
from support.tars import file, tar


@pytest.fixture
def image(tmp_path: Path) -> str:
    layout(tmp_path / "image", Spec((tar(*(file(f"{n}", b"content" * 1000) for n in range(200))),)))
    return f"oci:{tmp_path}/image"


@pytest.mark.heavy
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-"])
def test_a_closed_stream_does_not_harm_the_disk(tmp_path: Path, image: str, closed: str) -> None:
    whole, disk = tmp_path / "whole.ext4", tmp_path / "d.ext4"
    assert run("build", image, "-o", whole).returncode == 0
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", *argv("build", image, "-o", disk)]
    assert subprocess.run(command, env=ENVIRONMENT, check=False).returncode == 0
    assert disk.read_bytes() == whole.read_bytes()


@pytest.mark.heavy
def test_messages_never_go_to_standard_output(tmp_path: Path) -> None:
    command = ["sh", "-c", 'exec "$@" 2>&-', "sh", *argv("build", "oci:nowhere", "-o", tmp_path / "d.ext4")]
    done = subprocess.run(command, env=ENVIRONMENT, check=False, capture_output=True)
    assert (done.returncode, done.stdout) == (1, b"")


@pytest.mark.heavy
@pytest.mark.parametrize("words", [["inspect", "--quick"], ["inspect", "--json"]])
def test_an_answer_that_cannot_be_written_is_one_clear_failure(image: str, words: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            argv("-q", *words, image), env=ENVIRONMENT, check=False, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1
    assert done.stderr == "rootfs-builder: error: standard output: No space left on device; send it elsewhere\n"


@pytest.mark.heavy
def test_an_answer_waits_for_its_reader_also_in_a_pipe_that_does_not() -> None:
    whole = run("build", "--help").stdout
    source, target = os.pipe()
    os.set_blocking(target, False)
    fcntl.fcntl(target, fcntl.F_SETPIPE_SZ, 4096)
    with subprocess.Popen(argv("build", "--help"), env=ENVIRONMENT, stdout=target, stderr=subprocess.PIPE) as running:
        os.close(target)
        # Now it is full.
        while int.from_bytes(fcntl.ioctl(source, termios.FIONREAD, bytes(4)), sys.byteorder) < 4096:
            time.sleep(0.01)
        with os.fdopen(source, encoding="utf-8") as answer:
            assert answer.read() == whole
        assert running.stderr is not None
        assert (running.stderr.read(), running.wait()) == (b"", 0)


@pytest.mark.heavy
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


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_load(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"NOT RUN: {shell} is not installed")
    script = run("completion", shell).stdout
    subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_an_image_is_completed_as_a_path() -> None:
    words = {"_ROOTFS_BUILDER_COMPLETE": "bash_complete", "COMP_WORDS": "rootfs-builder build im", "COMP_CWORD": "2"}
    assert run(**words).stdout == "file,im\n"


@pytest.mark.parametrize(
    ("option", "offered"),
    [
        ("--format", ["plain,ext4", "plain,erofs"]),
        ("--init", ["plain,auto", "plain,none", "file,"]),
        ("--size", []),
    ],
)
def test_the_words_of_a_choice_are_completed(option: str, offered: list[str]) -> None:
    typed = f"rootfs-builder build a {option} "
    words = {"_ROOTFS_BUILDER_COMPLETE": "bash_complete", "COMP_WORDS": typed, "COMP_CWORD": "4"}
    assert run(**words).stdout.split() == offered
