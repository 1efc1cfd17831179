"""How mke2fs is called."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from builder.disk.ext4.layout import BLOCK_SIZE, INODE_SIZE
from builder.disk.ext4.superblock import Superblock, read_superblock
from builder.tool import run_tool

# The same on every version of mke2fs, and nothing that Linux 4.14 does not mount.
_FEATURES = (
    "none,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,"
    "dir_nlink,extra_isize,metadata_csum"
)

# In place of the machine's /etc/mke2fs.conf.
_CONFIGURATION = """\
[defaults]
	base_features = none
	default_mntopts = acl,user_xattr
	enable_periodic_fsck = 0
	hash_alg = half_md4
[fs_types]
	ext4 = {
		features = none
	}
"""


@dataclass(frozen=True, slots=True)
class Layout:
    """The size of a file system: in blocks, in inodes, and its journal's in MiB (0: none)."""

    blocks: int
    inodes: int
    journal: int


@dataclass(frozen=True, slots=True)
class Mke2fs:
    """The tool with all that is the same for every file system made by one build.

    Images are named inside `scratch`, since e2fsprogs reads a question mark in a path as the beginning of options.
    """

    scratch: Path
    uuid: UUID
    hash_seed: UUID
    label: str
    epoch: int

    def make(self, image: str, layout: Layout) -> None:
        """Make an empty file system in the existing, empty file `image`.

        Raises ToolFailed, or OSError where the disk is full.
        """
        (self.scratch / "mke2fs.conf").write_text(_CONFIGURATION)
        extended = (
            f"hash_seed={self.hash_seed}",
            "root_owner=0:0",
            "nodiscard",
            # The file is new and all holes: zeroing tables and journal would only fill it.
            "assume_storage_prezeroed=1",
        )
        journal = ["-J", f"size={layout.journal}"] if layout.journal else []
        run_tool(
            [
                "mke2fs",
                "-q",
                "-F",
                *("-t", "ext4"),
                *("-O", _FEATURES + (",has_journal" if journal else "")),
                *("-b", str(BLOCK_SIZE)),
                *("-I", str(INODE_SIZE)),
                *("-N", str(layout.inodes)),
                *("-G", "16"),
                *("-m", "0"),
                *("-e", "continue"),
                *("-o", "linux"),
                *("-U", str(self.uuid)),
                *("-L", self.label),
                *("-E", ",".join(extended)),
                *journal,
                image,
                str(layout.blocks),
            ],
            cwd=self.scratch,
            environment=self._environment(),
            output=(self.scratch / image).resolve(),
        )

    def try_out(self, layout: Layout) -> Superblock:
        """Return the superblock of an empty file system of that layout.

        Raises ToolFailed if mke2fs finds that it cannot be.
        """
        with open(self.scratch / "layout", "w+b") as file:
            self.make("layout", layout)
            superblock = read_superblock(file.fileno())
        os.unlink(self.scratch / "layout")
        return superblock

    def _environment(self) -> dict[str, str]:
        # To e2fsprogs 1.47.0 the time 0 means that there is none, and it asks the clock.
        epoch = str(min(max(self.epoch, 1), 2**32 - 1))
        return {"E2FSPROGS_FAKE_TIME": epoch, "SOURCE_DATE_EPOCH": epoch, "MKE2FS_CONFIG": "mke2fs.conf"}
