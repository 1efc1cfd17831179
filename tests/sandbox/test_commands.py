"""Each command that reads what anybody may have made, taken over where it does: it gets nowhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.command import ENVIRONMENT, argv, run, run_in
from support.images import Spec, docker_archive, layout, layout_zip
from support.registry import Registry
from support.tars import file, tar

from builder.sandbox import landlock, seccomp

NEEDS = "NOT RUN: needs a kernel with Landlock and seccomp: Linux 6.12 or later, with landlock among its lsm="
needs_kernel = pytest.mark.skipif(landlock.version() < 6 or not seccomp.is_there(), reason=NEEDS)

# Who sends reads what it sends, and needs the network for that; it starts nothing, and changes nothing.
SENDING = {
    *("read a file of the user's", "list a directory of the user's", "connect", "listen", "send a datagram"),
    *("read /etc/shadow", "read another's environment", "own a handed file"),
}

# What programs it starts are confined as it is; and times and attributes are no kernel's to confine.
ITS_WORK = {"start a shell", "utime", "setxattr", "own a handed file"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with an image, and a disk of it that has metadata."""
    place = tmp_path_factory.mktemp("made")
    layout(place / "image", Spec((tar(file("file", b"content")),), tag="1"))
    layout_zip(place / "image.zip", Spec((tar(file("file", b"content")),)))
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


@pytest.mark.root
@pytest.mark.parametrize("format", ["ext4", "erofs"])
def test_a_umask_that_leaves_nobody_any_rights_leaves_no_work_behind(made: Path, tmp_path: Path, format: str) -> None:
    """Root needs none, and may give none once it is confined."""
    words = argv("-q", "build", f"oci:{made}/image", "-o", tmp_path / f"disk.{format}", "--no-cache")
    done = subprocess.run(words, env=ENVIRONMENT, umask=0o777, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert os.listdir(tmp_path) == [f"disk.{format}"]


@pytest.mark.heavy
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
        ("builder.actions.inspect:resolve", ("inspect", "oci:zip://{made}/image.zip", "--quick")),
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
    untouched(home)
    # And whoever did nothing wrong notices nothing of it.
    assert (done.returncode, "error" in done.stderr) == (0, False), done.stderr


def untouched(home: Path) -> None:
    files = {path.name: path.read_text() for path in home.iterdir() if path.is_file()}
    assert files == dict.fromkeys(("victim", "second"), "the user's own")


@pytest.mark.heavy
@needs_kernel
def test_one_that_speaks_to_a_registry_gets_nowhere_and_sends_only_what_it_is_to_send(
    made: Path, tmp_path: Path, home: Path, port: int, registry: Registry
) -> None:
    registry.push("taken/over", Spec((tar(file("file", b"content")),)))
    disk, image = f"docker://{registry.host}/taken/disk:1", f"docker://{registry.host}/taken/over"
    (tmp_path / "out").mkdir()
    for place, work, words in (
        ("builder.actions.push:_check_tag", SENDING, ("push", made / "disk.erofs", disk)),
        ("builder.actions.remote_disk:parse_artifact", ITS_WORK, ("pull", disk, "-o", tmp_path / "out/disk.erofs")),
        ("builder.actions.pull:select", ITS_WORK, ("store", "--store", tmp_path / "store", "pull", image)),
        ("builder.actions.inspect:resolve", ITS_WORK, ("inspect", image, "--quick", "--store", tmp_path / "other")),
        ("builder.actions.verify:walk", ITS_WORK, ("verify", made / "disk.erofs", image, "--no-store")),
    ):
        outcomes, done = tried(place, home, port, *words)
        assert (words[0], done_of(outcomes) - work) == (words[0], set())
        untouched(home)
        assert (done.returncode, "error" in done.stderr) == (0, False), done.stderr
    assert (tmp_path / "out/disk.erofs").read_bytes() == (made / "disk.erofs").read_bytes()
    assert (tmp_path / "out/disk.erofs.json").exists()
    # And what came of an image is in the store, which was not there before.
    for store in ("store", "other"):
        assert any((tmp_path / store / "images/blobs/sha256").iterdir())


@pytest.mark.heavy
@needs_kernel
@pytest.mark.parametrize("words", [("verify", "DISK", "IMAGE"), ("inspect", "IMAGE"), ("store", "pull", "IMAGE")])
def test_what_nobody_knows_is_refused_where_confinement_is_required(
    tmp_path: Path, made: Path, words: tuple[str, ...]
) -> None:
    names = {"DISK": made / "disk.erofs", "IMAGE": f"oci:osfs://{made}/image"}
    done = run("-q", *(names.get(word, word) for word in words), "--sandbox", "require", "--store", tmp_path / "store")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--sandbox require: nobody knows what opens a URL" in done.stderr


@needs_kernel
@pytest.mark.parametrize("words", [("store", "--store", "mem://s", "add", "IMAGE"), ("store", "pull", "IMAGE")])
def test_a_store_at_a_url_leaves_no_directory_of_that_name(tmp_path: Path, made: Path, words: tuple[str, ...]) -> None:
    names = {"IMAGE": f"oci:{made}/image:1"}
    done = run_in(tmp_path, "-q", *(names.get(word, word) for word in words), ROOTFS_BUILDER_STORE="mem://s")
    assert (done.returncode, done.stdout, done.stderr) == (0, "localhost/image:1\n", "")
    assert not list(tmp_path.iterdir())


@pytest.mark.root
@needs_kernel
def test_a_store_that_there_is_no_room_for_is_not_said_to_be_denied(tmp_path: Path, made: Path) -> None:
    (tmp_path / "full").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "nr_inodes=1", "tmpfs", tmp_path / "full"], check=True)
    try:
        done = run("-q", "store", "--store", tmp_path / "full/store", "pull", f"oci:{made}/image:1")
    finally:
        subprocess.run(["umount", tmp_path / "full"], check=True)
    said = "no space is left; `rootfs-builder store gc` frees what no image needs, or choose another --store"
    assert (done.returncode, done.stderr) == (1, f"rootfs-builder: error: {tmp_path}/full/store: {said}\n")


@pytest.mark.heavy
@needs_kernel
def test_a_store_may_have_its_blobs_elsewhere(made: Path, tmp_path: Path) -> None:
    for name in ("home/store/images", "elsewhere", "out"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "home/store/images/blobs").symlink_to(tmp_path / "elsewhere")
    for words in (
        ("store", "pull", f"oci:{made}/image:1", "--name", "localhost/a:1"),
        ("build", "store:localhost/a:1", "-o", tmp_path / "out/disk.erofs", "--init", "none", "--no-cache"),
    ):
        done = run("-q", *words, "--store", tmp_path / "home/store", "--sandbox", "require")
        assert (done.returncode, done.stderr) == (0, "")
    assert any((tmp_path / "elsewhere/sha256").iterdir())


OF_FILES = """
import errno
import sys
from builder.sandbox.process import confine_process
from builder.sandbox.refused import told
from builder.errors import BuilderError

granted, *places = sys.argv[1:]
confine_process([], [granted], "/usr/bin:/bin")
for place in places:
    try:
        open(place, "rb" if place.endswith(("victim", "nobody's")) else "wb")
    except OSError as error:
        failure = BuilderError(f"{place}: {error.strerror}")
        failure.__cause__ = error
        print("--sandbox off" in told(failure))
failure.__cause__ = PermissionError(errno.EPERM, "Operation not permitted", "/etc/passwd")
print("--sandbox off" in told(failure))
"""


@needs_kernel
def test_a_file_that_confinement_refuses_is_said_to_be_refused_by_it(
    python: Callable[..., str], tmp_path: Path, home: Path
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "nobody's").touch(0)
    # What the user may read, or make; what is not there; and what goes well. What is nobody's, only root may read.
    # And what nobody may change, as after chattr +i, is no matter of what may be read.
    asked = (home / "victim", home / "new", home / "gone/new", tmp_path / "work/new", tmp_path / "nobody's")
    said = python(OF_FILES, str(tmp_path / "work"), *map(str, asked)).split()
    assert said == ["True", "True", "False", str(os.geteuid() == 0), "False"]


@pytest.mark.heavy
@needs_kernel
def test_an_archive_that_comes_through_a_pipe_is_confined_as_well(made: Path, tmp_path: Path) -> None:
    words = ("store", "--store", tmp_path / "store", "add", "/dev/stdin", "--sandbox", "require")
    with subprocess.Popen(["cat", made / "image.tar"], stdout=subprocess.PIPE) as cat:
        done = subprocess.run(argv("-q", *words), stdin=cat.stdout, env=ENVIRONMENT, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"localhost/a:1\n", b"")
