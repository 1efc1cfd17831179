"""Only what a killed build left is removed: what carries our mark, of its own name, made by this user."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.command import run
from support.leaks import no_descriptor_left
from support.users import ORDINARY, open_to_users, run_as_user

from builder.events import Event, Notice
from builder.files.litter import work_directory_name, write_mark
from builder.files.workspace import workspace, workspace_of

NAME = work_directory_name(".x.", "0123456789abcdef")


@contextmanager
def opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


def litter(place: Path, name: str = NAME) -> Path:
    """What a killed build leaves."""
    path = place / name
    path.mkdir(0o700)
    with opened(path) as fd:
        write_mark(fd, name)
    (path / "disk").write_bytes(b"half")
    return path


def sweep(place: Path) -> list[Event]:
    heard: list[Event] = []
    with no_descriptor_left(), workspace(place, "new", heard.append):
        pass
    return heard


def test_a_marked_directory_that_nobody_has_locked_goes(tmp_path: Path) -> None:
    litter(tmp_path)
    assert sweep(tmp_path) == []
    assert os.listdir(tmp_path) == []


def of_another_machine(path: Path, age: int) -> None:
    """Let a work directory be marked by a machine of which locks say nothing here, so many seconds ago."""
    mark = path / "mark"
    text = mark.read_bytes()
    machine = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    assert text.endswith(b"\nmachine " + machine)
    mark.write_bytes(text.replace(machine, b"01234567-89ab-cdef-0123-456789abcdef\n"))
    os.utime(mark, (time.time() - age,) * 2)


def test_what_another_machine_works_in_stays_and_goes_after_a_day(tmp_path: Path) -> None:
    place = litter(tmp_path)
    of_another_machine(place, 3600)
    assert sweep(tmp_path) == []
    assert sorted(os.listdir(place)) == ["disk", "mark"]
    os.utime(place / "mark", (time.time() - 25 * 3600,) * 2)
    assert sweep(tmp_path) == []
    assert os.listdir(tmp_path) == []


def test_an_output_that_another_machine_makes_is_made_beside_it(tmp_path: Path) -> None:
    with workspace_of(tmp_path / "disk.ext4") as work:
        name = work.path.resolve().name
    of_another_machine(litter(tmp_path, name), 3600)
    with workspace_of(tmp_path / "disk.ext4") as work:
        assert work.path.resolve().name != name
    assert os.listdir(tmp_path) == [name]


def without_a_mark(path: Path) -> None:
    (path / "mark").unlink()


def under_another_name(path: Path) -> None:
    path.rename(path.with_name(work_directory_name(".x.", "1123456789abcdef")))


def with_a_mark_of_other_words(path: Path) -> None:
    (path / "mark").write_bytes(b"this is mine")


def with_a_link_for_a_mark(path: Path) -> None:
    (path / "mark").rename(path.parent / "kept")
    (path / "mark").symlink_to(path.parent / "kept")


def with_a_mark_that_has_other_names(path: Path) -> None:
    os.link(path / "mark", path.parent / "kept")


def with_a_fifo_for_a_mark(path: Path) -> None:
    (path / "mark").unlink()
    os.mkfifo(path / "mark")


CHANGES = [
    without_a_mark, under_another_name, with_a_mark_of_other_words, with_a_link_for_a_mark,
    with_a_mark_that_has_other_names, with_a_fifo_for_a_mark,
]  # fmt: skip


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_what_carries_no_mark_of_ours_is_never_touched(
    tmp_path: Path, change: Callable[[Path], None], alone: bool
) -> None:
    path = litter(tmp_path)
    if alone:
        (path / "disk").rename(path / "mine" if change is without_a_mark else tmp_path / "mine")
    change(path)
    before = sorted(tmp_path.rglob("*"))
    assert sweep(tmp_path) == []
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", [".x.rootfs-builder", ".rootfs-builder", "x.0123456789abcdef.rootfs-builder"])
def test_what_is_only_called_like_litter_stays(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / f".file{name}").write_text("mine")
    (tmp_path / f".link{NAME}").symlink_to(tmp_path)
    sweep(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted([name, f".file{name}", f".link{NAME}"])


def test_a_store_of_such_a_name_outlives_a_build_beside_it(tmp_path: Path) -> None:
    store = tmp_path / ".x.rootfs-builder"
    store.mkdir()
    (store / "images").mkdir()
    done = run("build", "oci:nowhere", "-o", tmp_path / "d.ext4", "--store", store)
    assert done.returncode == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == [".x.rootfs-builder", "images"]


def test_what_has_the_name_of_an_outputs_workspace_and_no_mark_is_left_and_the_build_works(tmp_path: Path) -> None:
    with workspace_of(tmp_path / "d.ext4") as work:
        name = work.path.resolve().name
    (tmp_path / name).mkdir()
    (tmp_path / name / "mine").touch()
    with no_descriptor_left(), workspace_of(tmp_path / "d.ext4") as work:
        assert work.path.resolve().name != name
    assert [path.name for path in tmp_path.rglob("*")] == [name, "mine"]


@pytest.mark.root
def test_a_directory_that_others_own_or_may_change_is_no_litter_of_roots(tmp_path: Path) -> None:
    theirs = litter(tmp_path)
    os.chown(theirs, ORDINARY, ORDINARY)
    shared = litter(tmp_path, work_directory_name(".x.", "1123456789abcdef"))
    shared.chmod(0o777)
    marked = litter(tmp_path, work_directory_name(".x.", "2123456789abcdef"))
    os.chown(marked / "mark", ORDINARY, ORDINARY)
    sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == [theirs, shared, marked]


@pytest.mark.root
def test_who_may_rename_there_cannot_have_root_delete_a_directory(tmp_path: Path) -> None:
    open_to_users(tmp_path).chmod(0o777)
    precious = tmp_path / "precious"
    precious.mkdir(0o700)
    (precious / "file").touch()
    code = "import os\nos.rename(sys.argv[1], sys.argv[2])"
    run_as_user("", code, precious, tmp_path / NAME)
    sweep(tmp_path)
    assert (tmp_path / NAME / "file").exists()


@pytest.mark.root
def test_litter_that_cannot_be_removed_is_told_and_stops_nothing(tmp_path: Path) -> None:
    mounted = litter(tmp_path) / "mounted"
    mounted.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", mounted], check=True)
    try:
        (mounted / "kept").touch()
        [notice] = sweep(tmp_path)
        assert isinstance(notice, Notice)
        assert notice.text.startswith(f"{tmp_path}/{NAME}: a killed build left this, and it cannot be removed: another")
        assert (mounted / "kept").exists()
    finally:
        subprocess.run(["umount", mounted], check=True)
    assert sweep(tmp_path) == []
    assert os.listdir(tmp_path) == []
