"""ext4: mke2fs makes an empty file system, and we write the tree into it.

mke2fs can copy a directory, but not one with other people's files, devices or awkward names unless it runs as root,
and creating 40,000 files for it to copy takes longer than everything else together. So it decides what a file system
of the right size looks like, and how large that is (size.py); blocks and inodes are given to the tree's files
afterwards (fill.py), and their content is brought there from the spool (disk/content.py).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from builder.disk.ext4.layout import BLOCK_SIZE
from builder.disk.ext4.mke2fs import Mke2fs
from builder.disk.ext4.size import Demand, make_fitting
from builder.disk.ext4.superblock import SUPERBLOCK, is_superblock, read_superblock
from builder.disk.filesystem import DiskFacts, DiskOptions, check_label, derived_uuid, rounded_up
from builder.disk.judge import judge
from builder.errors import MissingRequirement, UsageError
from builder.events import Listener, Meter, Notice, Stage
from builder.tool import find_tool, tool_version
from builder.tree.nodes import File
from builder.tree.spool import Spool
from builder.tree.tree import Tree

if TYPE_CHECKING:
    from builder.disk.ext4.plan import Plan
    from builder.disk.reading import Reader

_TOOL = "mke2fs"
_CHECKER = "e2fsck"
_MIN_VERSION = (1, 47)
_MAX_LABEL = 16

# What the largest file of an ext4 host holds; and so many inodes that their tables alone take 64 GiB.
_MAX_SIZE = 16 << 40
_MAX_INODES = 1 << 28


class Ext4:
    """Packs a tree into an ext4 image with 4 KiB blocks and 256-byte inodes (see Filesystem)."""

    name = "ext4"
    tails = 0
    keeps_holes = True
    checks_graphs = True

    def check(self, options: DiskOptions) -> dict[str, str]:
        """Refuse options that ext4 or the installed e2fsprogs cannot honour, and give that one's version.

        Raises UsageError, or MissingRequirement naming what to install.
        """
        check_label(options.label, self.name, _MAX_LABEL)
        if options.compress or options.dedupe or options.fragments:
            raise UsageError("ext4 has no compression, dedupe or fragments: choose erofs, or leave the option out")
        for option, asked in (("--size", options.size or 0), ("--free", options.free)):
            if asked > _MAX_SIZE:
                raise UsageError(f"{option} {asked}: more than 16 TiB is not supported; ask for less")
        if options.inodes is not None and options.inodes > _MAX_INODES:
            raise UsageError(f"--inodes {options.inodes}: more than {_MAX_INODES} are not supported; ask for less")
        version = tool_version(_TOOL)
        if tuple(int(number) for number in re.findall(r"\d+", version)[:2]) < _MIN_VERSION:
            raise MissingRequirement(f"{_TOOL} {version} is too old: install e2fsprogs 1.47 or later")
        if options.check:
            find_tool(_CHECKER)
        return {_TOOL: version}

    def pack(
        self, tree: Tree, spool: Spool, options: DiskOptions, scratch: Path, output: Path, listen: Listener
    ) -> DiskFacts:
        """Write the image to `output`, which does not exist yet; temporary files go below `scratch`.

        Raises TreeRefused for what ext4 cannot hold, DiskTooSmall, ToolFailed, or OSError (a full disk).
        """
        # Here, because what writes a disk is not needed to know that one is up to date.
        from builder.disk.content import begun
        from builder.disk.ext4.content import blocks_needed, collect
        from builder.disk.ext4.fill import fill
        from builder.disk.ext4.plan import plan

        planned = plan(tree)
        _notice_times(planned, listen)
        uuid = options.uuid or derived_uuid(options.seed, "ext4 UUID")
        hash_seed = derived_uuid(options.seed, "ext4 hash seed")
        mke2fs = Mke2fs(scratch, uuid, hash_seed, options.label, options.epoch)

        files = [node.content for node in planned.nodes if isinstance(node, File) and node.content.size]
        with begun(output, spool, files, scratch) as disk:
            contents = collect(planned, spool, hash_seed)
            needed = blocks_needed(contents, planned, options.inodes or planned.last_inode)
            demand = Demand(
                blocks=needed + -(-options.free // BLOCK_SIZE),
                inodes=planned.last_inode,
                inodes_asked=options.inodes,
                journal=bool(options.decided().journal),
            )
            make_fitting(mke2fs, disk.fd, output, demand, options.size)
            listen(Stage("filling the ext4 file system", sum(each.blocks for each in contents) * BLOCK_SIZE))
            moves = fill(disk.fd, planned, contents, uuid)
            size = rounded_up(options.size or read_superblock(disk.fd).blocks * BLOCK_SIZE)
            disk.fill(moves, size, Meter(listen))
        return DiskFacts(
            format=self.name,
            uuid=uuid,
            size=size,
            block_size=BLOCK_SIZE,
            inodes=planned.last_inode,
            tools={_TOOL: tool_version(_TOOL)},
        )

    def verify(self, image: Path, scratch: Path) -> None:
        """Have e2fsck judge an image; raises DiskFaulty, or ToolFailed."""
        # Not this machine's configuration; and it is late enough that no time on the disk is one to come.
        environment = {"E2FSCK_CONFIG": "/dev/null", "E2FSCK_TIME": str(2**32 - 1)}
        judge(_CHECKER, [_CHECKER, "-fn"], image, scratch, environment)

    def reader(self, fd: int) -> Reader:
        """Read the file system on the disk that is open as `fd`, without mounting it; raises DiskMalformed."""
        from builder.disk.ext4.read import Ext4Reader
        from builder.disk.reading import Volume

        return Ext4Reader(Volume.of(fd))

    def recognises(self, head: bytes) -> bool:
        """Tell whether a file with these first HEAD bytes is an ext2, ext3 or ext4 image."""
        return is_superblock(head[SUPERBLOCK:])


def _notice_times(planned: Plan, listen: Listener) -> None:
    from builder.disk.ext4.inode import file_system_time

    changed = sum(node.mtime_ns != file_system_time(node.mtime_ns) for node in planned.nodes)
    if changed:
        listen(Notice(f"{changed} modification times outside ext4's range (1901 to 2446) became its first or last"))
