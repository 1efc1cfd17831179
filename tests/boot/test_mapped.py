"""A root that the kernel maps from the disk, as dm-mod.create= says, where its device mapper comes as a module."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import guests
from support.guests import boot, build, image

pytestmark = pytest.mark.slow

SECTOR = 512


def test_init_makes_the_mapped_device_that_the_kernel_line_describes(tmp_path: Path) -> None:
    guests.skip_without_machines()
    script = "cat /sys/block/dm-0/dm/name /sys/block/dm-0/dm/uuid /sys/block/dm-0/ro; cut -d ' ' -f 1 /proc/mounts"
    disk = build(image(tmp_path / "image", {"Cmd": ["sh", "-c", script]}), tmp_path / "disk.erofs")
    sectors = disk.stat().st_size // SECTOR
    tables = f"0 8 linear /dev/vda 0, 8 {sectors - 8} linear /dev/vda 8"
    words = f'root=/dev/dm-0 dm-mod.create="whole,0a-1b,0,ro,{tables}"'
    ran = boot(disk, "--append", words)
    lines = ran.stdout.decode().splitlines()
    assert (lines[:3], ran.returncode) == (["whole", "0a-1b", "1"], 0), ran
    assert "overlay" in lines
