"""What a disk says of itself, without its tree: size, what is used of it, label, UUID, features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from struct import unpack_from
from uuid import UUID

# In bytes: superblocks begin here, and what is read of them ends there.
_SUPERBLOCK, _END = 1024, 2048

_EXT4_COMPAT = {
    0x1: "dir_prealloc", 0x2: "imagic_inodes", 0x4: "has_journal", 0x8: "ext_attr", 0x10: "resize_inode",
    0x20: "dir_index", 0x200: "sparse_super2", 0x400: "fast_commit", 0x800: "stable_inodes", 0x1000: "orphan_file",
}  # fmt: skip
_EXT4_INCOMPAT = {
    0x1: "compression", 0x2: "filetype", 0x4: "needs_recovery", 0x8: "journal_dev", 0x10: "meta_bg", 0x40: "extent",
    0x80: "64bit", 0x100: "mmp", 0x200: "flex_bg", 0x400: "ea_inode", 0x1000: "dirdata", 0x2000: "metadata_csum_seed",
    0x4000: "large_dir", 0x8000: "inline_data", 0x10000: "encrypt", 0x20000: "casefold",
}  # fmt: skip
_EXT4_RO_COMPAT = {
    0x1: "sparse_super", 0x2: "large_file", 0x8: "huge_file", 0x10: "uninit_bg", 0x20: "dir_nlink",
    0x40: "extra_isize", 0x100: "quota", 0x200: "bigalloc", 0x400: "metadata_csum", 0x800: "replica",
    0x1000: "read-only", 0x2000: "project", 0x4000: "shared_blocks", 0x8000: "verity", 0x10000: "orphan_present",
}  # fmt: skip
_EROFS_COMPAT = {
    0x1: "sb_csum", 0x2: "mtime", 0x4: "xattr_filter", 0x8: "shared_ea_in_metabox", 0x10: "plain_xattr_pfx",
}  # fmt: skip
# Some bits stand for two features that came together.
_EROFS_INCOMPAT = {
    0x1: "zero_padding", 0x2: "compr_cfgs", 0x4: "chunked_file", 0x8: "device_table", 0x10: "ztailpacking",
    0x20: "fragments", 0x40: "xattr_prefixes", 0x80: "48bit", 0x100: "metabox",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Description:
    """A file system as its superblock describes it, in which each number may lie.

    Sizes are in bytes; `size` is the file system's. `free` and the inodes that are free are None where nothing can be
    written. `label` is as it stands there.
    """

    format: str
    size: int
    block_size: int
    free: int | None
    inodes: int
    free_inodes: int | None
    label: bytes
    uuid: UUID
    features: tuple[str, ...]


def describe(format: str, head: bytes) -> Description:
    """Describe a file system of a format by its first bytes, HEAD of them, which were recognised as such."""
    return _FORMATS[format](head[_SUPERBLOCK:_END].ljust(_END - _SUPERBLOCK, b"\0"))


def _ext4(data: bytes) -> Description:
    """Kernel documentation, filesystems/ext4: super."""
    inodes, blocks, _, free, free_inodes, _, log_size = unpack_from("<IIIIIII", data)
    compat, incompat, ro_compat = unpack_from("<III", data, 0x5C)
    if incompat & 0x80:
        blocks |= unpack_from("<I", data, 0x150)[0] << 32
        free |= unpack_from("<I", data, 0x158)[0] << 32
    block_size = 1024 << min(log_size, 6)
    features = (
        *_named(compat, _EXT4_COMPAT, "compat"),
        *_named(incompat, _EXT4_INCOMPAT, "incompat"),
        *_named(ro_compat, _EXT4_RO_COMPAT, "ro_compat"),
    )
    uuid, label = UUID(bytes=data[0x68:0x78]), data[0x78:0x88].partition(b"\0")[0]
    return Description(
        "ext4", blocks * block_size, block_size, free * block_size, inodes, free_inodes, label, uuid, features
    )


def _erofs(data: bytes) -> Description:
    """Kernel documentation, filesystems/erofs; fs/erofs/erofs_fs.h."""
    (compat,) = unpack_from("<I", data, 8)
    inodes, _, _, blocks = unpack_from("<QQII", data, 16)
    (incompat,) = unpack_from("<I", data, 80)
    block_size = 1 << min(data[12], 16)
    features = (*_named(compat, _EROFS_COMPAT, "compat"), *_named(incompat, _EROFS_INCOMPAT, "incompat"))
    uuid, label = UUID(bytes=data[48:64]), data[64:80].partition(b"\0")[0]
    return Description("erofs", blocks * block_size, block_size, None, inodes, None, label, uuid, features)


_FORMATS: Mapping[str, Callable[[bytes], Description]] = {"ext4": _ext4, "erofs": _erofs}


def _named(bits: int, names: Mapping[int, str], rest: str) -> list[str]:
    """Name the bits that are set, and what has no name by its number."""
    unknown = bits & ~sum(names)
    return [name for bit, name in names.items() if bits & bit] + ([f"{rest}:{unknown:#x}"] if unknown else [])
