"""What speaks for a disk, and is not believed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.images import Spec, layout
from support.tars import file, tar
from support.users import ids

from builder import BuildOptions, build
from builder.output.beside import MAX_METADATA, mark_pulled


@pytest.mark.root
@pytest.mark.parametrize("theirs", ["disk.ext4", "m.json"])
def test_what_another_user_made_speaks_for_no_disk(tmp_path: Path, theirs: str) -> None:
    layout(tmp_path / "image", Spec((tar(file("a", b"content")),)))
    disk = tmp_path / "disk.ext4"
    options = BuildOptions(metadata_file=tmp_path / "m.json")
    build(f"oci:{tmp_path}/image", disk, options)
    if theirs == "m.json":
        # Nothing but the metadata speaks for this one.
        for name in os.listxattr(disk):
            os.removexattr(disk, name)
    assert not build(f"oci:{tmp_path}/image", disk, options).built
    os.chown(tmp_path / theirs, *ids())
    assert build(f"oci:{tmp_path}/image", disk, options).built
    assert (disk.stat().st_uid, (tmp_path / "m.json").stat().st_uid) == (0, 0)


def long(metadata: bytes) -> bytes:
    """The same, and more behind it than is read of any."""
    return metadata + b" " * MAX_METADATA


def pulled(metadata: bytes) -> bytes:
    return mark_pulled(metadata, "docker://registry.example/disk@sha256:" + "0" * 64)


@pytest.mark.parametrize("change", [long, pulled])
def test_metadata_that_are_too_long_or_were_pulled_speak_for_no_disk_whatever_time_they_have(
    tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    layout(tmp_path / "image", Spec((tar(file("a", b"content")),)))
    disk, beside = tmp_path / "disk.ext4", tmp_path / "m.json"
    options = BuildOptions(metadata_file=beside)
    build(f"oci:{tmp_path}/image", disk, options)
    for name in (each for each in os.listxattr(disk) if each.startswith("user.")):
        os.removexattr(disk, name)
    assert not build(f"oci:{tmp_path}/image", disk, options).built
    status, metadata = disk.stat(), beside.read_bytes()
    beside.write_bytes(change(metadata))
    os.utime(beside, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert build(f"oci:{tmp_path}/image", disk, options).built
    assert beside.read_bytes() == metadata
