"""A read-only root with a data disk keeps what the guest writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import command, guests
from support.disks import check_ext4, dumpe2fs
from support.hosts import host

pytestmark = pytest.mark.slow


def test_what_the_guest_writes_is_there_at_the_second_boot_and_a_full_disk_can_be_written_to(tmp_path: Path) -> None:
    guests.skip_without_machines()
    keep = "cat /etc/group /count; echo x >>/count; echo new >/etc/group"
    cmd = ["/bin/sh", "-c", f"busybox rm -f /full || exit 9; {keep}; cat /dev/zero >/full 2>/dev/null; true"]
    disk = guests.build(guests.image(tmp_path / "image", {"Cmd": cmd}), tmp_path / "disk.erofs")
    made = command.run("blank", "-o", tmp_path / "data.ext4", "--size", "32M")
    assert made.returncode == 0, made.stderr
    before = disk.read_bytes()
    first = guests.boot(disk, "--data", tmp_path / "data.ext4")
    assert (first.returncode, first.stdout) == (0, guests.GROUP), first.stderr
    check_ext4(tmp_path / "data.ext4")
    assert "needs_recovery" not in dumpe2fs(tmp_path / "data.ext4")["Filesystem features"].split()
    second = guests.boot(disk, "--data", tmp_path / "data.ext4")
    assert (second.returncode, second.stdout) == (0, b"new\nx\n"), second.stderr
    check_ext4(tmp_path / "data.ext4")
    assert disk.read_bytes() == before
    again = command.run("blank", "-o", tmp_path / "data.ext4", "--size", "32M")
    assert (again.returncode, "may hold what a guest wrote" in again.stderr) == (1, True)


@pytest.mark.root
def test_a_guest_goes_on_where_this_machine_has_no_room_left_but_does_not_end_well(tmp_path: Path) -> None:
    guests.skip_without_machines()
    # It never asks whether that is on the disk; newer kernels may say so all the same.
    cmd = ["/bin/sh", "-c", "head -c 12000000 /dev/urandom >/large 2>/dev/null; echo over"]
    disk = guests.build(guests.image(tmp_path / "image", {"Cmd": cmd}), tmp_path / "disk.erofs")
    with host("tmpfs", tmp_path, 4 << 20) as small:
        made = command.run("blank", "-o", small / "data.ext4", "--size", "32M")
        assert made.returncode == 0, made.stderr
        booted = guests.boot(disk, "-q", "--data", small / "data.ext4")
    assert (booted.returncode, booted.stdout) == (125, b"over\n"), booted.stderr
    lost = b"and what was not written anew is lost; make room on its host\n"
    assert booted.stderr == b"rootfs-builder: notice: /dev/vdb did not take all that was written to it, " + lost
