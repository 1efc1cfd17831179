"""An empty ext4, for what a guest writes: mke2fs makes it, and nothing is added."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from uuid import UUID

from builder.disk.ext4.layout import BLOCK_SIZE
from builder.disk.ext4.mke2fs import Mke2fs
from builder.disk.ext4.pack import Ext4
from builder.disk.ext4.size import Demand, make_fitting
from builder.disk.ext4.superblock import read_superblock
from builder.disk.filesystem import DiskFacts, DiskOptions, derived_uuid, rounded_up
from builder.errors import DiskTooSmall, UsageError
from builder.files.descriptors import opened

# The root, those that ext4 keeps for itself, and lost+found.
_INODES = 11

# As mke2fs is told in builds: it takes 0 for "now".
_EPOCH = 1


def make_blank(output: Path, scratch: Path, size: int, label: str = "", uuid: UUID | None = None) -> DiskFacts:
    """Make an empty ext4 with a journal of `size` bytes, rounded up to whole blocks, in `output`, which is new.

    Its bytes depend on size, label, UUID and the version of mke2fs alone; a UUID that nobody chose derives from size
    and label. All that is empty is a hole. Raises UsageError, MissingRequirement, ToolFailed, or OSError (a full disk).
    """
    size = rounded_up(size)
    tools = Ext4().check(DiskOptions(size=size, label=label, check=False))
    seed = sha256(b"%d\0" % size + label.encode()).digest()
    uuid = uuid or derived_uuid(seed, "ext4 UUID of an empty disk")
    mke2fs = Mke2fs(scratch, uuid, derived_uuid(uuid.bytes + seed, "ext4 hash seed of an empty disk"), label, _EPOCH)
    with opened(output, os.O_RDWR | os.O_CREAT | os.O_EXCL) as fd:
        # Whether a file may be as large is known at once, and not when mke2fs has tried for a minute.
        os.truncate(fd, size)
        os.truncate(fd, 0)
        _make(mke2fs, fd, output, size)
        inodes = read_superblock(fd).inodes
        os.truncate(fd, size)
    return DiskFacts("ext4", uuid, size, BLOCK_SIZE, inodes, tools)


def _make(mke2fs: Mke2fs, image: int, output: Path, size: int) -> None:
    try:
        make_fitting(mke2fs, image, output, Demand(blocks=0, inodes=_INODES, inodes_asked=None, journal=True), size)
    except DiskTooSmall as small:
        raise UsageError(f"--size {size}: an empty ext4 with its journal takes {small.needed}; ask for more") from small
