"""How mke2fs is called."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from uuid import UUID

from builder.disk.ext4.layout import BLOCK_SIZE, INODE_SIZE
from builder.disk.ext4.superblock import make_alike
from builder.files.descriptors import path_of
from builder.tool import run_tool

# The same on every version of mke2fs, and nothing that Linux 4.14 does not mount.
_FEATURES = (
    "none,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,"
    "dir_nlink,extra_isize,metadata_csum"
)

# In place of the machine's /etc/mke2fs.conf.
_CONFIGURATION = b"""\
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
    """The tool with all that is the same for every file system made by one build; its configuration is in `scratch`."""

    scratch: Path
    uuid: UUID
    hash_seed: UUID
    label: str
    epoch: int

    def make(self, image: int, layout: Layout, output: Path) -> None:
        """Make an empty file system in the empty file that is open as `image`; `output` is its name in errors.

        Raises ToolFailed, MissingRequirement (a tool that is another one), or OSError where the disk is full.
        """
        extended = (
            f"hash_seed={self.hash_seed}",
            "root_owner=0:0",
            "nodiscard",
            # The file is new and all holes: zeroing tables and journal would only fill it.
            "assume_storage_prezeroed=1",
        )
        journal = ["-J", f"size={layout.journal}"] if layout.journal else []
        with TemporaryFile(dir=self.scratch) as configuration:
            configuration.write(_CONFIGURATION)
            configuration.flush()
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
                    path_of(image),
                    str(layout.blocks),
                ],
                # Nobody can put other files in the places of these, and no name is read as e2fsprogs reads names: with
                # options behind a question mark.
                inherited=(image, configuration.fileno()),
                confined=True,
                environment=self._environment(configuration.fileno()),
                output=output,
            )
        make_alike(image)

    def _environment(self, configuration: int) -> dict[str, str]:
        # To e2fsprogs 1.47.0 the time 0 means that there is none, and it asks the clock.
        epoch = str(min(max(self.epoch, 1), 2**32 - 1))
        return {"E2FSPROGS_FAKE_TIME": epoch, "SOURCE_DATE_EPOCH": epoch, "MKE2FS_CONFIG": str(path_of(configuration))}
