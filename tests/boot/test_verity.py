"""A machine reads of a disk with a hash tree what was built, or an error; and boots one that is whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import guests, tars
from support.verity import flip, is_intact, read_verity, skip_without_veritysetup

pytestmark = pytest.mark.slow

# More than a block of hashes covers (512 KiB), so that one of them is this file's alone; and text that stands out.
LARGE = b"".join(b"line %07d\n" % number for number in range(120_000))
SCRIPT = "cat /small /sys/block/dm-0/dm/name /large"


def build(place: Path, format_: str) -> Path:
    guests.skip_without_machines()
    skip_without_veritysetup()
    members = [tars.file("small", b"small\n"), tars.file("large", LARGE)]
    reference = guests.image(place / "image", {"Cmd": ["/bin/sh", "-c", SCRIPT]}, *members)
    disk = place / f"disk.{format_}"
    guests.build(reference, disk, "--verity", "--metadata-file", f"{disk}.json")
    assert is_intact(disk, read_verity(place / f"disk.{format_}.json"))
    return disk


def where(disk: Path, content: bytes) -> int:
    position = disk.read_bytes().find(content)
    assert position > 0
    return position


def test_one_flipped_bit_of_data_is_an_error_to_who_reads_it_and_the_rest_is_read(tmp_path: Path) -> None:
    disk = build(tmp_path, "ext4")
    position = where(disk, b"line 0100000\n")
    flip(disk, position)
    ran = guests.boot(disk)
    begin = b"small\nrootfs\nline 0000000\n"
    assert (ran.returncode, ran.stdout[: len(begin)]) == (1, begin), ran
    assert LARGE not in ran.stdout
    assert b"line 0100000" not in ran.stdout
    told = f"{disk}: data block {position // 4096} is not what its root hash says\n".encode()
    assert ran.stderr == b"cat: read error: Input/output error\nrootfs-builder: notice: " + told


def test_a_whole_disk_boots_and_one_of_another_root_hash_does_not(tmp_path: Path) -> None:
    disk = build(tmp_path, "erofs")
    ran = guests.boot(disk)
    assert (ran.returncode, ran.stdout) == (0, b"small\nrootfs\n" + LARGE), ran.stderr
    # The hashes of the first blocks, the superblock's among them.
    verity = read_verity(tmp_path / "disk.erofs.json")
    levels = disk.stat().st_size - verity["hashOffset"] - 4096
    flip(disk, verity["hashOffset"] + 4096 + (4096 if levels > 4096 else 0))
    failed = guests.boot(disk)
    assert (failed.returncode, failed.stdout) == (1, b""), failed
    assert failed.stderr.count(b"\n") == 1
    assert f"error: {disk}: metadata block ".encode() in failed.stderr
    assert b" is not what its root hash says; build the disk again, or name its own --metadata" in failed.stderr
