"""What a machine is started with, before there is one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from support.images import Spec, layout
from support.tars import file, tar
from support.verity import read_verity, skip_without_veritysetup

from builder import BuildOptions, DiskOptions, blank
from builder.actions.boot import boot, boot_command
from builder.actions.booting import BootOptions, FileUnreadable
from builder.actions.build import build
from builder.errors import OutputError, ToolFailed, UsageError

NEEDED = ["kernel", "modules", "initrd", "data", "metadata"]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    layout(tmp_path / "image", Spec((tar(file("a", b"content")),)))
    return build(f"oci:{tmp_path}/image", tmp_path / "disk.erofs").output


def test_a_disk_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileUnreadable) as refused:
        boot(tmp_path / "none.ext4", BootOptions())
    assert str(refused.value) == f"{tmp_path}/none.ext4: cannot be read: No such file or directory; check the path"


@pytest.mark.parametrize("name", NEEDED)
def test_what_else_a_machine_needs_and_is_not_there_is_named(disk: Path, name: str) -> None:
    missing = disk.parent / "none"
    needed: dict[str, Any] = {"kernel": disk, "modules": disk.parent, name: missing}
    with pytest.raises(FileUnreadable) as refused:
        boot(disk, BootOptions(**needed))
    assert refused.value.path == missing


def test_the_root_is_no_disk_for_data(tmp_path: Path) -> None:
    root = blank(tmp_path / "root.ext4", 64 << 20).output
    (tmp_path / "other-name").symlink_to(root)
    with pytest.raises(UsageError, match="is the root itself, and data need a disk of their own"):
        boot(root, BootOptions(kernel=root, modules=tmp_path, data=tmp_path / "other-name"))


def test_what_a_guest_writes_is_not_said_to_stay_where_it_cannot(disk: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="an erofs is never written to: leave out --writable, or build an ext4"):
        boot_command(disk, BootOptions(kernel=disk, initrd=disk, writable=True))
    root, data = (blank(tmp_path / name, 64 << 20).output for name in ("root.ext4", "data.ext4"))
    with pytest.raises(UsageError, match="leave out --writable, or --data"):
        boot_command(root, BootOptions(kernel=disk, initrd=disk, writable=True, data=data))


@pytest.mark.parametrize("name", ["kernel", "initrd", "metadata"])
def test_for_a_fifo_nobody_waits(disk: Path, name: str) -> None:
    fifo = disk.parent / "fifo"
    os.mkfifo(fifo)
    needed: dict[str, Any] = {"kernel": disk, "modules": disk.parent, name: fifo}
    with pytest.raises(UsageError, match=r"fifo: is no regular file; name "):
        boot(disk, BootOptions(**needed))


def test_who_has_no_home_to_keep_an_initramfs_in_boots_all_the_same(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(disk))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    assert f"file={disk}," in " ".join(boot_command(disk, BootOptions(kernel=disk, initrd=disk)))
    assert list(temporary.iterdir()) == []


def test_qemu_keeps_what_a_guest_writes_where_temporary_files_are_to_be(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container whose /var/tmp is read-only."""
    machine = f"qemu-system-{os.uname().machine}"
    (tmp_path / machine).write_text('#!/bin/sh\necho "writes to <$TMPDIR>" >&2\nexit 1\n')
    (tmp_path / machine).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    for place, found in ((str(tmp_path), str(tmp_path)), ("/nowhere", ""), (".", "")):
        monkeypatch.setenv("TMPDIR", place)
        with pytest.raises(ToolFailed, match=f"writes to <{found}>$"):
            boot(disk, BootOptions(kernel=disk, initrd=disk))


def test_without_room_for_what_a_guest_writes_it_says_so(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = f"qemu-system-{os.uname().machine}"
    said = "Could not open temporary file '/tmp/vl.pYTuYD': No space left on device"
    (tmp_path / machine).write_text(f'#!/bin/sh\necho "{said}" >&2\nexit 1\n')
    (tmp_path / machine).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OutputError, match=f"^{machine}: No space left on device; free space, or .* TMPDIR$"):
        boot(disk, BootOptions(kernel=disk, initrd=disk))


def test_what_a_boot_that_failed_left_in_the_cache_goes_at_the_next(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    boot_command(disk, BootOptions(kernel=disk, initrd=disk))
    left = tmp_path / "cache/rootfs-builder/.kvm-x86_64.0123456789abcdef.rootfs-builder"
    left.mkdir(0o700)
    boot_command(disk, BootOptions(kernel=disk, initrd=disk))
    assert not left.exists()


def test_the_kernel_is_told_what_the_machine_needs(disk: Path) -> None:
    for machine, needed in (("microvm", False), ("q35", True)):
        line = " ".join(boot_command(disk, BootOptions(kernel=disk, initrd=disk, machine=machine)))
        assert (" no_timer_check " in line) == needed


def test_a_machine_of_arm64_is_not_started_with_a_kernel_for_amd64(disk: Path, tmp_path: Path) -> None:
    (tmp_path / "vmlinuz").write_bytes(b"MZ".ljust(0x202, b"\0") + b"HdrS")
    with pytest.raises(UsageError, match="vmlinuz: is a kernel for amd64; name one for arm64 with --kernel"):
        boot_command(disk, BootOptions(kernel=tmp_path / "vmlinuz", initrd=disk, machine="virt"))


def test_the_kernel_is_told_of_the_hash_tree_that_the_metadata_beside_the_disk_tell_of(tmp_path: Path) -> None:
    skip_without_veritysetup()
    layout(tmp_path / "image", Spec((tar(file("a", b"content")),)))
    metadata = tmp_path / "disk.ext4.json"
    options = BuildOptions(disk=DiskOptions(verity=True), metadata_file=metadata)
    disk = build(f"oci:{tmp_path}/image", tmp_path / "disk.ext4", options).output
    plain = BootOptions(kernel=disk, initrd=disk)
    line = " ".join(boot_command(disk, plain))
    stated = read_verity(metadata)
    blocks, start = stated["dataBlocks"], stated["dataBlocks"] + 1
    disks = f"/dev/vda /dev/vda 4096 4096 {blocks} {start} sha256 {stated['rootHash']} {stated['salt']}"
    assert f'dm-mod.create="rootfs,,,ro,0 {blocks * 8} verity 1 {disks}" root=/dev/dm-0 rootfstype=ext4 ro ' in line
    with pytest.raises(UsageError, match="nothing is ever written to a disk with a hash tree; leave out --writable"):
        boot_command(disk, BootOptions(kernel=disk, initrd=disk, writable=True))
    metadata.rename(tmp_path / "elsewhere.json")
    assert "dm-mod" not in " ".join(boot_command(disk, plain))
    named = BootOptions(kernel=disk, initrd=disk, metadata=tmp_path / "elsewhere.json")
    assert " ".join(boot_command(disk, named)) == line
    with pytest.raises(UsageError, match=r"the kernel command line has 2\d+ bytes, and kernels take 2047"):
        boot_command(disk, BootOptions(kernel=disk, initrd=disk, metadata=named.metadata, append=("x" * 1700,)))
