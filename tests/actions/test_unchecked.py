"""A disk that was built with --no-check is not up to date for whoever wants it checked."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from support.images import Spec, layout
from support.tars import file, tar

from builder import BuildOptions, build
from builder.disk.filesystem import DiskOptions


@pytest.mark.parametrize("known_by", ["metadata", "attribute"])
def test_a_disk_that_was_not_checked_is_built_for_whoever_wants_it_checked(tmp_path: Path, known_by: str) -> None:
    layout(tmp_path / "image", Spec((tar(file("a", b"content")),)))
    disk = tmp_path / "disk.ext4"
    checked = BuildOptions(metadata_file=tmp_path / "m.json" if known_by == "metadata" else None)
    unchecked = replace(checked, disk=DiskOptions(check=False))

    def made(options: BuildOptions) -> tuple[bool, bool]:
        result = build(f"oci:{tmp_path}/image", disk, options)
        if known_by == "metadata":
            with suppress(OSError):
                os.removexattr(disk, "user.rootfs-builder")
        elif "user.rootfs-builder" not in os.listxattr(disk):
            pytest.skip("the file system of temporary files keeps no extended attributes")
        return result.built, result.disk.checked

    assert [made(options) for options in (unchecked, unchecked, checked, checked, unchecked)] == [
        (True, False),
        (False, False),
        (True, True),
        (False, True),
        (False, True),
    ]
