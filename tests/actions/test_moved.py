"""A disk that the file in which content came has become is byte for byte the one to which content was copied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from support.hosts import host
from support.images import Spec, layout
from support.tars import directory, file, hardlink, opaque, tar, whiteout

from builder import BuildOptions, DiskOptions, Removal, build, verify
from builder.disk import FILESYSTEMS
from builder.disk.digest import disk_digest
from builder.disk.shift import Move, shift
from builder.guest.options import GuestOptions
from builder.output.beside import metadata_path

MIB = 1 << 20


def mark(what: str) -> bytes:
    return f"<<{what:-<26}>>\n".encode()


def many(what: str, size: int) -> bytes:
    """A content that consists of its mark, so that any block of it tells; its last block is a part of one."""
    return mark(what) * (size // 31)


def image(place: Path, large: int) -> Path:
    """An image of a file of `large` bytes and of many that go, of each kind of going."""
    lower = tar(
        directory("kept"),
        file("deleted", many("deleted", 2 * MIB)),
        *(file(f"kept/{number}", many(f"kept {number}", 3 * MIB + 4096 * number + number)) for number in range(4)),
        file("replaced", many("replaced", MIB)),
        directory("opaque"),
        file("opaque/old", many("below opaque", MIB)),
        file("removed", many("removed", MIB)),
        file("whole-blocks", many("whole blocks", 31 * 4096 * 4)),
        *(file(f"small-{number}", b"%d" % number * (number + 1)) for number in range(300)),
    )
    upper = tar(
        whiteout("deleted"),
        file("replaced", many("new", 2 * MIB)),
        opaque("opaque"),
        file("opaque/new", many("above opaque", MIB)),
        hardlink("other-name", "kept/1"),
        file("large", many("large", large)),
        whiteout("small-7"),
    )
    layout(place, Spec((lower, upper), compression="zstd"))
    return place


GONE = ["deleted", "replaced", "below opaque", "removed"]


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> list[Move]:
    """What was moved; what was copied is none of it."""
    found: list[Move] = []

    def noted(fd: int, moves: Sequence[Move], size: int) -> None:
        found.extend(moves)
        shift(fd, moves, size)

    monkeypatch.setattr("builder.disk.content.shift", noted)
    return found


@pytest.fixture(scope="module")
def host_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with host("ext4", tmp_path_factory.mktemp("host"), 1 << 30) as found:
        yield found


# Content is on both sides of the second group's own blocks, a copy of the superblock among them, and of the journal.
GROUPS = DiskOptions(size=256 * MIB, inodes=65536, journal=True)
GROUP, JOURNAL = 128 * MIB, 16 * MIB + 128 * MIB


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "disk", "large"),
    [(form, DiskOptions(verity=form == "erofs"), MIB) for form in FILESYSTEMS]
    + [(form, DiskOptions(size=64 * MIB, verity=form == "ext4", label="moved"), MIB) for form in FILESYSTEMS]
    + [("ext4", DiskOptions(free=200 * MIB, journal=False), MIB), ("ext4", GROUPS, 110 * MIB)],
)
def test_a_moved_disk_is_the_copied_one(
    tmp_path: Path, host_place: Path, moved: list[Move], form: str, disk: DiskOptions, large: int
) -> None:
    made = image(tmp_path / "image", large)
    output = host_place / f"disk.{form}"
    options = BuildOptions(
        disk=disk,
        guest=GuestOptions(init="none"),
        additions=(Removal("/removed"),),
        metadata_file=metadata_path(output),
        force=True,
    )
    (tmp_path / "elsewhere").mkdir()
    disks = []
    for tmpdir in (None, tmp_path / "elsewhere"):
        moved.clear()
        build(f"oci:{made}", output, replace(options, tmpdir=tmpdir))
        # On another file system the spool's file cannot become the disk.
        assert bool(moved) == (tmpdir is None)
        assert verify(output).equal
        disks.append((disk_digest(output), output.stat().st_blocks * 512))
        if tmpdir is None:
            assert disk is not GROUPS or min(moved).target < GROUP < JOURNAL <= max(moved).target
            data = output.read_bytes()
            assert [what for what in GONE if mark(what) in data] == []
            assert mark("above opaque") in data
    (digest, taken), (copied, most) = disks
    assert digest == copied
    # What is free takes no room.
    assert taken <= most + MIB
    output.unlink()
