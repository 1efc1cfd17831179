"""An ext4 disk mounts on Linux 4.14 and later, such as Firecracker's own kernels: it has no feature that came later."""

from __future__ import annotations

import struct
from pathlib import Path
from uuid import UUID

import pytest
from support.everything import CAPABILITY
from support.images import Spec, layout
from support.tars import directory, file, symlink, tar
from support.verity import skip_without_veritysetup

from builder import BuildOptions, DiskOptions, blank, build
from builder.guest.options import GuestOptions
from builder.tool import run_tool

# What fs/ext4/ext4.h of 4.14 names as EXT4_FEATURE_INCOMPAT_SUPP: filetype, recover, meta_bg, extents, 64bit, mmp,
# flex_bg, ea_inode, csum_seed, largedir, inline_data, encrypt.
INCOMPAT = 0x2 | 0x4 | 0x10 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x2000 | 0x4000 | 0x8000 | 0x10000
# And as EXT4_FEATURE_RO_COMPAT_SUPP: sparse_super, large_file, btree_dir, huge_file, gdt_csum, dir_nlink, extra_isize,
# quota, bigalloc, metadata_csum, readonly, project.
RO_COMPAT = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20 | 0x40 | 0x100 | 0x200 | 0x400 | 0x1000 | 0x2000
# Those that it knows of what hinders no kernel: dir_prealloc, has_journal, ext_attr, resize_inode, dir_index,
# sparse_super2.
COMPAT = 0x1 | 0x4 | 0x8 | 0x10 | 0x20 | 0x200

LAYER = tar(
    directory("d"),
    *(file(f"d/{number:0200}", b"") for number in range(300)),
    file("large", b"x" * 70000),
    file("capable", b"ping", mode=0o755, xattrs={"security.capability": CAPABILITY, "user.long": b"v" * 3000}),
    symlink("link", "t" * 300),
)
INIT = GuestOptions(init="auto", cmd=("/capable",))
VARIANTS = {
    "least": BuildOptions(),
    "no journal": BuildOptions(disk=DiskOptions(journal=False)),
    "a size": BuildOptions(disk=DiskOptions(size=1 << 30)),
    "room": BuildOptions(disk=DiskOptions(free=300 << 20, inodes=100_000)),
    "names": BuildOptions(disk=DiskOptions(label="root", uuid=UUID(int=7))),
    "times past 2038": BuildOptions(source_date_epoch=5_000_000_000),
    "init": BuildOptions(guest=INIT),
    "verity": BuildOptions(disk=DiskOptions(verity=True)),
}


def features(disk: Path) -> tuple[int, int, int]:
    """The superblock's s_feature_compat, s_feature_incompat and s_feature_ro_compat."""
    with disk.open("rb") as opened:
        superblock = opened.read(2048)[1024:]
    assert superblock[0x38:0x3A] == b"\x53\xef"
    compat, incompat, ro_compat = struct.unpack_from("<III", superblock, 0x5C)
    return compat, incompat, ro_compat


def unknown(disk: Path) -> tuple[int, int, int]:
    compat, incompat, ro_compat = features(disk)
    return compat & ~COMPAT, incompat & ~INCOMPAT, ro_compat & ~RO_COMPAT


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_option_gives_a_disk_a_feature_that_linux_4_14_lacks(tmp_path: Path, variant: str) -> None:
    if VARIANTS[variant].disk.verity:
        skip_without_veritysetup()
    layout(tmp_path / "image", Spec((LAYER,)))
    built = build(f"oci:{tmp_path}/image", tmp_path / "disk.ext4", VARIANTS[variant])
    assert features(built.output) != (0, 0, 0)
    assert unknown(built.output) == (0, 0, 0)


def test_nor_has_an_empty_disk(tmp_path: Path) -> None:
    blank(tmp_path / "data.ext4", 64 << 20)
    assert unknown(tmp_path / "data.ext4") == (0, 0, 0)


def test_a_later_feature_would_be_seen(tmp_path: Path) -> None:
    """orphan_file is of 5.15, and what mke2fs 1.47 gives by itself."""
    disk = tmp_path / "disk.ext4"
    disk.write_bytes(bytes(8 << 20))
    run_tool(["mke2fs", "-q", "-F", "-t", "ext4", "-O", "orphan_file", disk])
    assert unknown(disk) == (0x1000, 0, 0)
