"""What all structures of ext4 share: the sizes of blocks and inodes, and the checksum (feature metadata_csum)."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

import google_crc32c

BLOCK_SIZE = 4096
INODE_SIZE = 256


def checksum(parts: Iterable[bytes]) -> int:
    """Return ext4's CRC-32C of `parts`, which begin with the file system's UUID.

    ext4 starts from all ones as everybody does, but leaves out the inversion at the end.
    """
    crc = 0
    for part in parts:
        crc = google_crc32c.extend(crc, part)
    return crc ^ 0xFFFFFFFF


def checksum_seed(uuid: UUID) -> int:
    """Return what the checksums of a file system with this UUID begin with."""
    return google_crc32c.extend(0, uuid.bytes)  # type: ignore[no-any-return]


def seeded_checksum(seed: int, data: bytes) -> int:
    """Return the checksum of the UUID that `seed` stands for and `data`, as `checksum` does."""
    return google_crc32c.extend(seed, data) ^ 0xFFFFFFFF  # type: ignore[no-any-return]
