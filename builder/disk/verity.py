"""dm-verity: a tree of hashes behind a file system, by which Linux checks each block that it reads.

This is what has to be known to read such a disk; one number of it, the root hash, vouches for all its content
(admin-guide/device-mapper/verity of the kernel's documentation).
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

BLOCK_SIZE: Final = 4096
_SECTOR_SIZE = 512
_SHA256 = r"\A[0-9a-f]{64}\Z"

Hex = Annotated[str, Meta(pattern=_SHA256)]
# What a file can hold at most, in bytes: off_t.
_Offset = Annotated[int, Meta(ge=BLOCK_SIZE, le=2**63 - BLOCK_SIZE, multiple_of=BLOCK_SIZE)]
_Blocks = Annotated[int, Meta(ge=1, le=2**63 // BLOCK_SIZE - 1)]


class Verity(msgspec.Struct, frozen=True, rename="camel"):
    """The hash tree of a disk; sizes and `hash_offset` are in bytes, hashes and salt in hex.

    The file system is the first `data_blocks` blocks; at `hash_offset` begins the superblock that veritysetup writes,
    and a block behind it the tree. JSON that is converted to it is checked, and ends up on a kernel's command line.
    """

    root_hash: Hex
    salt: Hex
    hash_offset: _Offset
    data_blocks: _Blocks
    data_block_size: Literal[4096] = BLOCK_SIZE
    hash_block_size: Literal[4096] = BLOCK_SIZE
    algorithm: Literal["sha256"] = "sha256"

    @property
    def size(self) -> int:
        """The size of the whole disk in bytes: file system, superblock and tree."""
        return self.hash_offset + tree_size(self.data_blocks)

    def table(self, device: str) -> str:
        """Write it as the table of a mapped device, for a disk that Linux calls `device` (verity: Construction)."""
        sectors = self.data_blocks * self.data_block_size // _SECTOR_SIZE
        start = self.hash_offset // self.hash_block_size + 1
        disks = f"{device} {device} {self.data_block_size} {self.hash_block_size} {self.data_blocks} {start}"
        return f"0 {sectors} verity 1 {disks} {self.algorithm} {self.root_hash} {self.salt}"


# Stands for a tree that is not made yet: its table is as long as any.
UNKNOWN = Verity(root_hash="0" * 64, salt="0" * 64, hash_offset=2**63 - BLOCK_SIZE, data_blocks=2**63 // BLOCK_SIZE - 1)


def tree_size(data_blocks: int) -> int:
    """Tell how many bytes the superblock and the tree over so many blocks take."""
    blocks, level = 1, data_blocks
    # A block holds 128 hashes; the hash of a single one is the root hash, and in no block.
    while level > 1:
        level = -(-level * 32 // BLOCK_SIZE)
        blocks += level
    return blocks * BLOCK_SIZE


def tree_position(size: int) -> int:
    """Tell where the superblock of the tree begins on a disk of `size` bytes, if it ends with one."""
    blocks = size // BLOCK_SIZE
    return bisect_left(range(blocks), blocks, key=lambda data: data + tree_size(data) // BLOCK_SIZE) * BLOCK_SIZE
