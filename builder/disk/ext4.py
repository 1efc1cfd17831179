"""ext4: mke2fs lays out the file system and copies the content, we write the inodes, debugfs cleans up.

mke2fs can copy a directory, but not one with other people's files, devices or awkward names unless it runs as
root, and slowly where directories are large. So it gets plain numbered files only (ext4_staging.py), and what they
are in the tree is written into the inode tables afterwards (ext4_image.py).
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

from builder.disk.ext4_image import BLOCK_SIZE, clean_up, read_superblock, write_inodes
from builder.disk.ext4_inode import file_system_time
from builder.disk.ext4_mke2fs import E2fsprogs
from builder.disk.ext4_plan import Plan, plan
from builder.disk.ext4_size import Demand, fitting_layout
from builder.disk.ext4_staging import stage
from builder.disk.filesystem import DiskFacts, DiskOptions
from builder.disk.identity import derived_uuid
from builder.disk.tool import tool_version
from builder.errors import MissingRequirement, OutputError, ToolFailed, UsageError
from builder.events import Listener, Notice, Progress, Stage
from builder.tree.nodes import File
from builder.tree.spool import Spool
from builder.tree.tree import Tree

_TOOLS = ("mke2fs", "debugfs")
_MIN_VERSION = (1, 47)
_MAX_LABEL = 16
_IMAGE, _STAGING = "image", "staging"


class Ext4:
    """Packs a tree into an ext4 image with 4 KiB blocks and 256-byte inodes (see Filesystem)."""

    name = "ext4"

    def check(self, options: DiskOptions) -> None:
        """Refuse options that ext4 or the installed e2fsprogs cannot honour.

        Raises UsageError, or MissingRequirement naming what to install.
        """
        label = os.fsencode(options.label)
        if len(label) > _MAX_LABEL or b"\0" in label:
            raise UsageError(f"label {options.label!r}: ext4 holds {_MAX_LABEL} bytes and no NUL")
        if options.compression or options.dedupe or options.fragments:
            raise UsageError("ext4 has no compression, dedupe or fragments: choose erofs, or leave the option out")
        for tool in _TOOLS:
            version = tool_version(tool)
            if tuple(int(number) for number in re.findall(r"\d+", version)[:2]) < _MIN_VERSION:
                raise MissingRequirement(f"{tool} {version} is too old: install e2fsprogs 1.47 or later")

    def pack(
        self, tree: Tree, spool: Spool, options: DiskOptions, scratch: Path, output: Path, listen: Listener
    ) -> DiskFacts:
        """Write the image to `output`, which does not exist yet; temporary files go below `scratch`.

        Raises TreeRefused for what ext4 cannot hold, DiskTooSmall, OutputError, ToolFailed.
        """
        planned = plan(tree)
        _notice_times(planned, listen)
        uuid = options.uuid or derived_uuid(options.seed, "ext4 UUID")
        tools = E2fsprogs(scratch, uuid, derived_uuid(options.seed, "ext4 hash seed"), options.label, options.epoch)

        files = (inode.node.content.size for inode in planned.inodes if isinstance(inode.node, File))
        listen(Stage("laying out the ext4 content", sum(files)))
        content = stage(planned, spool, scratch / _STAGING, uuid, lambda done: listen(Progress(done)))
        demand = Demand(
            blocks=content + -(-options.free // BLOCK_SIZE),
            inodes=planned.inodes_needed,
            inodes_asked=options.inodes,
            journal=options.journal,
        )

        listen(Stage("making the ext4 file system"))
        try:
            fd = os.open(output, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise OutputError(os.fspath(output), os.strerror(error.errno or 0)) from error
        with open(fd, "r+b", buffering=0):
            os.symlink(os.path.abspath(output), scratch / _IMAGE)
            _make(tools, demand, options.size, fd)
            write_inodes(fd, planned, uuid)
            tools.edit(_IMAGE, clean_up(planned, read_superblock(fd)))
            superblock = read_superblock(fd)
            size = -(-options.size // BLOCK_SIZE) * BLOCK_SIZE if options.size else superblock.blocks * BLOCK_SIZE
            os.truncate(fd, size)
        return DiskFacts(
            format=self.name,
            uuid=uuid,
            size=size,
            block_size=BLOCK_SIZE,
            inodes=superblock.inodes - superblock.free_inodes,
            tools={tool: tool_version(tool) for tool in _TOOLS},
        )


def _make(tools: E2fsprogs, demand: Demand, size: int | None, fd: int) -> None:
    layout = fitting_layout(tools, demand, size)
    try:
        tools.make(_IMAGE, layout, _STAGING)
        return
    except ToolFailed as error:
        if "Could not allocate block" not in error.stderr:
            raise
    # The count of blocks is an upper bound unless an extent tree grows in a way it does not know: once more, with
    # a room that is certainly enough for these trees.
    demand = replace(demand, blocks=demand.blocks + demand.blocks // 50 + 64)
    os.truncate(fd, 0)
    tools.make(_IMAGE, fitting_layout(tools, demand, size), _STAGING)


def _notice_times(planned: Plan, listen: Listener) -> None:
    changed = sum(inode.node.mtime_ns != file_system_time(inode.node.mtime_ns) for inode in planned.inodes)
    if changed:
        listen(Notice(f"{changed} modification times outside ext4's range (1901 to 2446) became its first or last"))
