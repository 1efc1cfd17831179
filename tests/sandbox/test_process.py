"""A process that reads an image is confined: what a parser that was taken over would try, tried from inside."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.command import run
from support.escaping import privileges
from support.images import Spec, layout
from support.tars import file, tar

from builder import BuildOptions, build
from builder.sandbox import landlock, seccomp
from builder.sandbox import process as confined
from builder.tool import find_tool

NEEDS = "NOT RUN: needs a kernel with Landlock and seccomp: Linux 6.12 or later, with landlock among its lsm="
needs_kernel = pytest.mark.skipif(landlock.version() < 6 or not seccomp.is_there(), reason=NEEDS)

# What programs it starts are confined as it is; and a disk gets times and attributes.
ITS_WORK = {"start a shell", "utime", "setxattr"}
RESTORING = {"chmod", "chown", "have a program run as its owner", "chown what is open", "give a program capabilities"}

# What `restores` is, then the words of support/escaping.py.
CONFINED = """
import sys
from builder.sandbox.process import confine_process
from support import escaping

restores, work = sys.argv.pop(1) == "yes", sys.argv.pop(1)
confine_process([], [work], "/usr/bin:/bin", restores=restores)
escaping.main()
"""


@needs_kernel
@pytest.mark.parametrize("restores", ["yes", "no"])
def test_a_process_that_was_taken_over_gets_nowhere(
    python: Callable[..., str], tmp_path: Path, home: Path, port: int, restores: str
) -> None:
    (tmp_path / "work").mkdir()
    words = [str(tmp_path / "work"), str(home), str(port), "0", str(os.getpid())]
    outcomes: dict[str, str] = json.loads(python(CONFINED, restores, *words))
    done = {name for name, outcome in outcomes.items() if outcome not in ("EACCES", "EPERM", "EXDEV")}
    assert done - {"own a handed file"} <= ITS_WORK | (RESTORING if restores == "yes" else set())
    assert {path.name: path.read_text() for path in home.iterdir()} == dict.fromkeys(
        ("victim", "second"), "the user's own"
    )


# A thread that was there before.
BEFORE = """
import socket, threading
from builder.sandbox.process import confine_process

go = threading.Event()
def late():
    go.wait()
    try:
        socket.socket()
    except PermissionError:
        print("refused")

thread = threading.Thread(target=late)
thread.start()
confine_process([], [], "/usr/bin:/bin")
go.set()
thread.join()
"""


@needs_kernel
def test_no_thread_keeps_the_network(python: Callable[..., str]) -> None:
    assert python(BEFORE) == "refused\n"


@pytest.fixture
def image(tmp_path: Path) -> str:
    layout(tmp_path / "image", Spec((tar(file("file", b"content")),)))
    return f"oci:{tmp_path}/image"


def sandbox(metadata: Path) -> str:
    said: str = json.loads(metadata.read_bytes())["disk"]["sandbox"]
    return said


@needs_kernel
def test_the_command_confines_its_process_and_says_so_and_the_disk_is_the_same(tmp_path: Path, image: str) -> None:
    disks = []
    for said, meant in (("auto", "all"), ("require", "all"), ("off", "none")):
        disk = tmp_path / said / "disk.erofs"
        disk.parent.mkdir()
        done = run("build", image, "-o", disk, "--metadata-file", f"{disk}.json", "--sandbox", said)
        assert (done.returncode, sandbox(Path(f"{disk}.json"))) == (0, meant), done.stderr
        disks.append(disk.read_bytes())
    assert disks[0] == disks[1] == disks[2]
    # Nor is it made anew because it would be confined otherwise now; and what is said of it stays.
    done = run("build", image, "-o", tmp_path / "off/disk.erofs", "--metadata-file", tmp_path / "off/disk.erofs.json")
    assert (done.returncode, sandbox(tmp_path / "off/disk.erofs.json")) == (0, "none")
    assert "up to date" in done.stderr


@needs_kernel
def test_who_calls_from_python_keeps_all_that_it_had_and_its_tools_are_confined(tmp_path: Path, image: str) -> None:
    before = privileges()
    build(image, tmp_path / "d.erofs", BuildOptions(metadata_file=tmp_path / "d.json"))
    assert sandbox(tmp_path / "d.json") == "tools"
    assert privileges() == before


@needs_kernel
@pytest.mark.parametrize(("tool", "format"), [("mke2fs", "ext4"), ("fsck.erofs", "erofs")])
def test_a_tool_may_be_a_link_to_where_nothing_else_is_read(tmp_path: Path, image: str, tool: str, format: str) -> None:
    program = tmp_path / "tools-1.0/sbin" / tool
    program.parent.mkdir(parents=True)
    shutil.copy(find_tool(tool), program)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / tool).symlink_to(program)
    words = ("-q", "build", image, "-o", tmp_path / f"disk.{format}", "--sandbox", "require", "--init", "none")
    done = run(*words, "--metadata-file", tmp_path / "m.json", PATH=f"{tmp_path}/bin:{os.environ['PATH']}")
    assert (done.returncode, done.stderr) == (0, "")
    assert sandbox(tmp_path / "m.json") == "all"


@needs_kernel
def test_a_part_of_the_system_that_is_a_link_is_granted_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "var/local").mkdir(parents=True)
    (tmp_path / "usr").mkdir()
    (tmp_path / "usr/local").symlink_to(tmp_path / "var/local")
    monkeypatch.setattr(confined, "SYSTEM", (f"{tmp_path}/usr",))
    monkeypatch.setattr(sys, "path", [f"{tmp_path}/usr/local/python", f"{tmp_path}/usr/lib/python"])
    places = [place for place, _ in confined._grants([], [], f"{tmp_path}/usr/local/sbin:{tmp_path}/usr/sbin")]
    assert f"{tmp_path}/usr/local/python" in places
    assert f"{tmp_path}/usr/local/sbin" in places
    assert f"{tmp_path}/usr/lib/python" not in places
    assert f"{tmp_path}/usr/sbin" not in places


@pytest.mark.parametrize(
    ("reference", "words", "said"),
    [
        ("oci:{place}", ("--push", "docker://host.example/b:1"), "leave out --push"),
        ("oci:osfs://{place}", (), "nobody knows what opens a URL"),
    ],
)
@needs_kernel
def test_more_than_can_be_confined_is_refused_where_it_is_required(
    tmp_path: Path, image: str, reference: str, words: tuple[str, ...], said: str
) -> None:
    reference = reference.format(place=image.removeprefix("oci:"))
    done = run("-q", "build", reference, "-o", tmp_path / "d.erofs", "--sandbox", "require", "--cmd", "/file", *words)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("rootfs-builder: error: --sandbox require: ")
    assert said in done.stderr
    assert not (tmp_path / "d.erofs").exists()


# Reads, makes, removes and signals what it should not, and says "x" if it could write the disk.
HOSTILE = """#!/bin/sh
case $1 in -V) echo mke2fs 1.47.0 >&2; exit;; esac
for image in "$@"; do case $image in /proc/*) break;; esac; done
cat {home}/victim >$image
echo x >{home}/new
rm -f {home}/second
kill $PPID
echo made >$image && echo x >&2
exit 3
"""


@pytest.mark.heavy
@needs_kernel
def test_a_tool_of_a_build_that_is_hostile_reaches_only_the_disk_that_it_makes(
    tmp_path: Path, home: Path, image: str
) -> None:
    program = tmp_path / "bin/mke2fs"
    program.parent.mkdir()
    program.write_text(HOSTILE.format(home=home))
    program.chmod(0o755)
    words = ("-q", "build", image, "-o", tmp_path / "d.ext4", "--cmd", "/file")
    done = run(*words, PATH=f"{program.parent}:/usr/bin:/bin")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    # Its last words: what went before did not work, and this did.
    assert done.stderr.endswith("mke2fs failed with status 3: x\n")
    assert {path.name: path.read_text() for path in home.iterdir()} == dict.fromkeys(
        ("victim", "second"), "the user's own"
    )
