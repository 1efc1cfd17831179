"""What speaks for a disk, and is not believed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.images import Spec, layout
from support.tars import file, tar
from support.users import ids

from builder import BuildOptions, build


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
