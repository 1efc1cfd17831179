"""What `verify` says of disks that somebody changed, or still has mounted, and of one whose image is gone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.images import Spec, layout
from support.mounts import mounted
from support.tars import directory, file, symlink, tar
from support.verity import skip_without_veritysetup

from builder import BuildOptions, DiskOptions, GuestOptions, build, verify
from builder.disk.erofs.read import ErofsReader
from builder.disk.erofs.read_content import INLINE
from builder.disk.reading import Volume, walk
from builder.errors import ImageNotFound, MissingRequirement, ToolFailed
from builder.output.beside import metadata_path
from builder.tool import run_tool
from builder.words import quoted


def built(place: Path, format: str, layer: bytes, *, verity: bool = False) -> Path:
    layout(place / "image", Spec((layer,)))
    disk = place / f"disk.{format}"
    guest = GuestOptions(init="none")
    options = BuildOptions(disk=DiskOptions(verity=verity), guest=guest, metadata_file=metadata_path(disk))
    build(f"oci:{place}/image", disk, options)
    return disk


@pytest.mark.root
def test_a_hole_that_somebody_filled_is_a_difference_on_a_disk_of_ours(tmp_path: Path) -> None:
    layer = tar(file("holes", b"data".ljust(600_000, b"\0") + b"more".ljust(400_000, b"\0")))
    disk = built(tmp_path, "ext4", layer)
    with mounted(disk, "rw") as there:
        before = os.stat(there / "holes")
        with (there / "holes").open("r+b") as holes:
            holes.seek(65536)
            holes.write(bytes(8192))
        os.utime(there / "holes", ns=(before.st_atime_ns, before.st_mtime_ns))
    found = verify(disk)
    assert [*map(str, found.differences)] == ["/holes: holes 2 blocks stored in them, expected none"]
    # What made somebody else's disk, and of what, nobody knows.
    metadata_path(disk).unlink()
    assert verify(disk, f"oci:{tmp_path}/image").differences == []


def test_permissions_of_a_symlink_are_compared_on_a_disk_of_ours(tmp_path: Path) -> None:
    """Other tools give them what a tar says, or what they are in a directory."""
    disk = built(tmp_path, "ext4", tar(symlink("link", "file")))
    run_tool(["debugfs", "-w", "-R", "set_inode_field /link mode 0120640", str(disk)])
    assert [*map(str, verify(disk).differences)] == ["/link: mode 0640, expected 0777"]
    metadata_path(disk).unlink()
    assert verify(disk, f"oci:{tmp_path}/image").equal


def test_a_disk_is_not_faulty_for_a_checker_that_is_too_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    skip_without_veritysetup()
    said = "unidentified incompatible feature 20, please upgrade kernel version"
    disk = built(tmp_path, "erofs", tar(file("a")), verity=True)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/fsck.erofs").write_text(f'#!/bin/sh\necho "<E> erofs: {said}"\nexit 1\n')
    (tmp_path / "bin/fsck.erofs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    with pytest.raises(MissingRequirement) as caught:
        verify(disk)
    words = quoted(f"<E> erofs: {said}")
    told = f"has all names as expected, but fsck.erofs is too old to check it ({words}): install a newer one"
    assert str(caught.value) == f"{disk}: {told}"
    # Where there is a difference, that is what counts.
    layout(tmp_path / "other", Spec((tar(file("b")),)))
    found = verify(disk, f"oci:{tmp_path}/other")
    assert [*map(str, found.faults)] == [f"fsck.erofs: <E> erofs: {said}"]
    assert [*map(str, found.differences)] == ["/a: extra", "/b: missing"]
    # As is what the hash tree says.
    with disk.open("r+b") as written:
        written.write(b"boot loader")
    assert [fault.by for fault in verify(disk).faults] == ["fsck.erofs", "the hash tree"]


def test_the_lost_and_found_that_e2fsck_makes_is_not_somebodys(tmp_path: Path) -> None:
    disk = built(tmp_path, "ext4", tar(file("a")))
    # It makes one where there is none, and says by its status that it has changed something.
    with pytest.raises(ToolFailed) as changed:
        run_tool(["e2fsck", "-fyD", str(disk)])
    assert changed.value.status == 1
    found = verify(disk)
    assert (found.equal, found.remarks) == (
        True,
        ["its sha256 is not the recorded one: what differs is not part of the tree"],
    )


@pytest.mark.root
def test_a_mounted_disk_is_to_be_unmounted_and_not_mended(tmp_path: Path) -> None:
    disk = built(tmp_path, "ext4", tar(file("a")))
    with mounted(disk, "rw"):
        (fault,) = verify(disk).faults
    said = "its journal holds what its files lack; unmount it, or if it is not mounted, run e2fsck -fp"
    assert str(fault) == f"the disk: the superblock: {said}; what is behind that was not compared"
    assert verify(disk).equal


def test_an_image_that_is_gone_is_said_to_be_what_metadata_name(tmp_path: Path) -> None:
    disk = built(tmp_path, "ext4", tar(file("a")))
    (tmp_path / "image").rename(tmp_path / "elsewhere")
    gone = f"{tmp_path}/image: there is no such directory; check the path"
    with pytest.raises(ImageNotFound) as caught:
        verify(disk)
    assert str(caught.value) == f"{disk}: its metadata name an image that is not there ({gone}); name the IMAGE"
    assert verify(disk, f"oci:{tmp_path}/elsewhere").equal


def test_directories_of_many_ways_are_not_left_to_fsck_erofs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes down each of them, which in 26 directories of two names each takes a day."""
    layer = tar(directory("a"), directory("a/a"), file("a/b"))
    disk = built(tmp_path, "erofs", layer)
    with_two_ways(disk)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/fsck.erofs").write_text("#!/bin/sh\necho was asked\nexit 1\n")
    (tmp_path / "bin/fsck.erofs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    found = verify(disk)
    said = "'/a/b': is a directory that has another name, too; what is behind that was not compared"
    assert [*map(str, found.faults)] == [f"the disk: {said}"]


def with_two_ways(disk: Path) -> None:
    """Have `a/b` name what `a/a` names; no checksum of the superblock is in the way."""
    with disk.open("r+b") as file:
        reader = ErofsReader(Volume.of(file.fileno()))
        names = {found.path: found.inode.number for found in walk(reader)}
        place = reader._place(names[b"a"])[1]
        start = place.end if place.layout == INLINE else place.value * reader.superblock.block_size
        data = disk.read_bytes()
        at = data.index(names[b"a/b"].to_bytes(8, "little"), start)
        for position, value in ((at, names[b"a/a"].to_bytes(8, "little")), (at + 10, b"\2")):
            file.seek(position)
            file.write(value)
        file.seek(1024 + 8)
        file.write(bytes([data[1024 + 8] & ~1]))
