"""A machine boots from the disks that are built of the example image, and its own checks pass."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import guests

from fixtures.image import example_image
from fixtures.make_example import BUSYBOX
from fixtures.transports import oci_layout, write_files

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("format_", ["ext4", "erofs"])
def test_the_guest_passes_its_checks(tmp_path: Path, format_: str) -> None:
    guests.skip_without_machines()
    write_files(oci_layout(example_image(BUSYBOX.read_bytes())), tmp_path / "oci")
    disk = guests.build(f"oci:{tmp_path}/oci:latest", tmp_path / f"disk.{format_}")
    before = disk.read_bytes()
    booted = guests.boot(disk, "--", "check")
    lines = booted.stdout.decode().splitlines()
    assert [line for line in lines if line.startswith("  FAILED")] == []
    assert f"example: all 35 checks passed on {format_}" in lines, booted
    assert (booted.returncode, disk.read_bytes() == before) == (0, True)
