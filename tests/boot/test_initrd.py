"""A machine starts from an initramfs that was built with a disk, which holds nothing but the image's files."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import guests

from builder.guest.initramfs import quick_initramfs
from builder.guest.program import init_program

pytestmark = pytest.mark.slow

# What the image has, and what its process can see of it: no mount point and no working directory is on the disk.
PLACES = ["/dev/null", "/proc/self", "/run", "/sys/kernel", "/tmp"]
LOOK = f"pwd; id; cat /etc/hostname; ls -d {' '.join(PLACES)}; echo 1 >/x"


def test_init_of_an_initramfs_runs_the_process_on_a_disk_without_a_mount_point(tmp_path: Path) -> None:
    guests.skip_without_machines()
    config = {"Cmd": ["sh", "-c", f"{LOOK} && exit 7"], "User": "web", "WorkingDir": "/srv/app"}
    reference = guests.image(tmp_path / "image", config)
    initrd = tmp_path / "initrd"
    words = ("--initrd", initrd, "--modules", guests.KERNEL / "lib/modules", "--hostname", "vm", "--user", "0:logs")
    disk = guests.build(reference, tmp_path / "disk.erofs", *words)
    bare = guests.build(reference, tmp_path / "bare.erofs", "--init", "none")
    assert disk.read_bytes() == bare.read_bytes()
    booted = guests.boot(disk, "--initrd", initrd)
    assert (booted.returncode, booted.stdout.decode().splitlines()) == (
        7,
        [
            "/srv/app",
            "uid=0(root) gid=7(logs) groups=7(logs)",
            "vm",
            "/dev/null",
            "/proc/self",
            "/run",
            "/sys/kernel",
            "/tmp",
        ],
    ), booted.stderr


def test_a_guest_whose_kernel_has_no_ports_says_which_driver_is_missing(tmp_path: Path) -> None:
    guests.skip_without_machines()
    disk = guests.build(guests.image(tmp_path / "image", {"Cmd": ["true"]}), tmp_path / "disk.ext4")
    modules = guests.KERNEL / "lib/modules"
    initrd = tmp_path / "initrd"
    initrd.write_bytes(
        quick_initramfs(init_program("amd64"), modules, ("virtio_mmio", "virtio_blk", "ext4", "overlay"))
    )
    # With so little memory, where what init tries for ten seconds might take some each time.
    # Newer kernels of Debian have the driver in them, where it can only be kept from starting.
    words = ("--memory", "128M", "--append", "initcall_blacklist=virtio_console_init")
    booted = guests.boot(disk, "--initrd", initrd, *words)
    assert booted.returncode == 1, booted.stderr
    said = b"rb.ports: No such file or directory; the kernel needs the driver virtio_console"
    assert said in booted.stderr, booted.stderr
