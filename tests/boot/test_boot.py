"""A machine boots from the disks that are built of the example image, and its own checks pass."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from support import command

from fixtures.image import example_image
from fixtures.make_example import BUSYBOX
from fixtures.transports import oci_layout, write_files

CHECKOUT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("format_", ["ext4", "erofs"])
def test_the_guest_passes_its_checks(tmp_path: Path, format_: str) -> None:
    if shutil.which("qemu-system-x86_64") is None or not (CHECKOUT / ".cache/kernel/vmlinuz").exists():
        pytest.skip("NOT RUN: needs QEMU and a kernel; ci/setup brings both")
    write_files(oci_layout(example_image(BUSYBOX.read_bytes())), tmp_path / "oci")
    disk = tmp_path / f"disk.{format_}"
    built = command.run("build", f"oci:{tmp_path}/oci:latest", "-o", disk)
    assert built.returncode == 0, built.stderr
    before = disk.read_bytes()
    argv = [CHECKOUT / "ci/boot", disk]
    booted = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    lines = booted.stdout.splitlines()
    assert [line for line in lines if line.startswith("  FAILED")] == []
    assert f"example: all 35 checks passed on {format_}" in lines, booted.stdout + booted.stderr
    assert (booted.returncode, disk.read_bytes() == before) == (0, True)
