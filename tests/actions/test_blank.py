"""An empty disk for a guest's writes: always the same, and never in the place of one that somebody uses."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from uuid import UUID

import pytest
from support import command
from support.disks import check_ext4, dumpe2fs
from support.mounts import mounted
from support.users import ids, open_to_users, run_as_user

from builder import blank
from builder.actions.blank import DataDiskThere
from builder.disk.ext4.blank import make_blank
from builder.disk.filesystem import DiskFacts
from builder.errors import OutputError, UsageError
from builder.files.workspace import OutputBusy, workspace_of

MIB = 1 << 20


def test_the_disk_is_an_empty_ext4_with_a_journal_that_takes_no_room(tmp_path: Path) -> None:
    made = blank(tmp_path / "data.ext4", 2048 * MIB, label="state")
    status = (tmp_path / "data.ext4").stat()
    check_ext4(tmp_path / "data.ext4")
    said = dumpe2fs(tmp_path / "data.ext4")
    assert (status.st_size, status.st_blocks * 512 < 4 * MIB) == (2048 * MIB, True)
    assert (said["Filesystem volume name"], said["Filesystem UUID"]) == ("state", str(made.disk.uuid))
    assert "has_journal" in said["Filesystem features"].split()
    assert (said["Mount count"], said["Block count"], said["Block size"]) == ("0", str(2048 * MIB // 4096), "4096")
    assert os.listdir(tmp_path) == ["data.ext4"]


def test_size_and_label_decide_the_bytes_whoever_makes_it_wherever(tmp_path: Path) -> None:
    theirs = open_to_users(tmp_path) / "theirs"
    theirs.mkdir()
    os.chown(theirs, *ids())
    run_as_user("from builder import blank", "blank(sys.argv[1] + '/other.img', 16 << 20, label='a')", theirs)
    made = blank(tmp_path / "a.ext4", 16 * MIB, label="a")
    assert (theirs / "other.img").read_bytes() == (tmp_path / "a.ext4").read_bytes()
    others = [blank(tmp_path / "b.ext4", 16 * MIB), blank(tmp_path / "c.ext4", 17 * MIB, label="a")]
    assert len({made.disk.uuid, *(other.disk.uuid for other in others)}) == 3


def test_a_size_is_rounded_up_to_whole_blocks(tmp_path: Path) -> None:
    assert blank(tmp_path / "data.ext4", 16 * MIB + 1).disk.size == 16 * MIB + 4096
    assert (tmp_path / "data.ext4").stat().st_size == 16 * MIB + 4096
    check_ext4(tmp_path / "data.ext4")


def test_an_empty_disk_that_is_there_is_up_to_date(tmp_path: Path) -> None:
    disk = tmp_path / "data.ext4"
    assert blank(disk, 16 * MIB).built
    before = disk.stat()
    assert not blank(disk, 16 * MIB).built
    assert (disk.stat().st_ino, disk.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.heavy
@pytest.mark.parametrize("position", [1024 + 0x2C, 9 * MIB, 16 * MIB - 1], ids=["mounted", "in a hole", "at its end"])
def test_a_disk_that_holds_anything_is_not_replaced_without_force(tmp_path: Path, position: int) -> None:
    disk = tmp_path / "data.ext4"
    blank(disk, 16 * MIB)
    with disk.open("r+b") as file:
        file.seek(position)
        file.write(b"x")
    before = disk.read_bytes()
    said = command.run("blank", "-o", disk, "--size", "16M")
    reason = "exists and may hold what a guest wrote, so it stays; name another, or lose it with --force"
    assert (said.returncode, said.stderr) == (1, f"rootfs-builder: error: {disk}: {reason}\n")
    assert (disk.read_bytes() == before, os.listdir(tmp_path)) == (True, ["data.ext4"])
    assert blank(disk, 16 * MIB, force=True).built
    check_ext4(disk)
    assert disk.read_bytes() != before


def test_an_empty_disk_of_another_size_is_not_replaced_either(tmp_path: Path) -> None:
    blank(tmp_path / "data.ext4", 16 * MIB)
    with pytest.raises(DataDiskThere):
        blank(tmp_path / "data.ext4", 32 * MIB)
    assert (tmp_path / "data.ext4").stat().st_size == 16 * MIB


def test_what_somebody_puts_there_meanwhile_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = tmp_path / "data.ext4"

    def make_late(output: Path, scratch: Path, size: int, label: str, uuid: UUID | None) -> DiskFacts:
        disk.write_bytes(b"somebody's")
        return make_blank(output, scratch, size, label, uuid)

    monkeypatch.setattr("builder.actions.blank.make_blank", make_late)
    with pytest.raises(DataDiskThere):
        blank(disk, 16 * MIB)
    assert disk.read_bytes() == b"somebody's"


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--size", "1M"], 2, "--size 1048576: an empty ext4 with its journal takes 8720384; ask for more"),
        (["--size", "0"], 2, "--size 0: an empty ext4 with its journal takes 8720384; ask for more"),
        (["--size", "17T"], 2, "--size 18691697672192: more than 16 TiB is not supported; ask for less"),
        (["--size", "16M", "--label", "x" * 17], 2, f"--label '{'x' * 17}': ext4 holds 16 bytes and no NUL; choose"),
        (["--size", "-1"], 2, "Invalid value for '--size': '-1' is not a size"),
        ([], 2, "Missing option '--size'"),
        (["--size", "16M", "-o", "no/where"], 1, "no/where: the directory "),
        # Nothing there can be replaced, whatever a fault does: that of /dev/null would take it from the whole machine.
        (["--size", "16M", "-o", "/dev/pts/ptmx"], 1, "/dev/pts/ptmx: exists and is not a regular file; name a file"),
    ],
)
def test_what_cannot_be_made_is_one_line(tmp_path: Path, words: list[str], status: int, said: str) -> None:
    ran = command.run("blank", "-o", tmp_path / "data.ext4", *words)
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (status, "", 1)
    assert ran.stderr.startswith(f"rootfs-builder: error: {said}")
    assert list(tmp_path.iterdir()) == []


def test_without_mke2fs_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builder.tool._SYSTEM_DIRECTORIES", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Exception, match="mke2fs") as missing:
        blank(tmp_path / "data.ext4", 16 * MIB)
    assert getattr(missing.value, "exit_status", None) == 4
    assert list(tmp_path.iterdir()) == []


def test_while_another_makes_it_it_is_left_alone(tmp_path: Path) -> None:
    with workspace_of(tmp_path / "data.ext4"), pytest.raises(OutputBusy):
        blank(tmp_path / "data.ext4", 16 * MIB, wait=False)


@pytest.mark.root
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tmp_path], check=True)
    try:
        with pytest.raises(OutputError, match="No space left on device; free space, or choose another output"):
            blank(tmp_path / "data.ext4", 512 * MIB)
        assert list(tmp_path.iterdir()) == []
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.root
def test_one_that_was_mounted_is_somebodys(tmp_path: Path) -> None:
    blank(tmp_path / "data.ext4", 16 * MIB)
    with mounted(tmp_path / "data.ext4", "rw") as top:
        assert os.listdir(top) == ["lost+found"]
    with pytest.raises(DataDiskThere):
        blank(tmp_path / "data.ext4", 16 * MIB)


@pytest.mark.parametrize(("output", "size"), [("data.ext4", -1), ("/", 16 * MIB)])
def test_what_cannot_be_meant_is_refused(tmp_path: Path, output: str, size: int) -> None:
    with pytest.raises(UsageError):
        blank(tmp_path / output, size)
