"""Indexes of clusters that lie are refused before memory is taken for what they say."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

import pytest
import zstandard

from builder.disk.erofs.read_content import FULL_INDEX, ContentReader, Place
from builder.disk.erofs.read_superblock import Superblock
from builder.disk.reading import DiskMalformed, Volume

# Blocks of 64 KiB, and logical clusters of 128 of them, the largest there are.
BLOCK_BITS, MORE_BITS = 16, 7
CLUSTER = 1 << BLOCK_BITS + MORE_BITS
TAILS, ZSTD = 0x1 | 0x2 | 0x10, 3
HEAD, NO_HEAD, TAIL = 1, 2, 0x08


@pytest.fixture
def fd() -> Iterator[int]:
    fd = os.memfd_create("disk")
    yield fd
    os.close(fd)


def tail(fd: int, clusters: int, packed: bytes) -> bytes:
    """Read a file of so many clusters, all of them in the tail behind its index."""
    index = b"".join(struct.pack("<HHI", NO_HEAD if number else HEAD, 0, number) for number in range(clusters))
    header = struct.pack("<IHBB8x", len(packed) << 16, TAIL, ZSTD, MORE_BITS)
    os.pwrite(fd, header + index + packed, 0)
    superblock = Superblock(BLOCK_BITS, 1, 0, 0, 0, TAILS, 0, 0, 0, 0)
    place = Place("inode 1", FULL_INDEX, clusters * CLUSTER, 0, 0)
    return b"".join(data for _, data in ContentReader(Volume.of(fd), superblock).read(place))


def test_a_tail_is_unpacked_as_far_as_a_cluster_may_go(fd: int) -> None:
    assert tail(fd, 1, zstandard.ZstdCompressor().compress(bytes(CLUSTER))) == bytes(CLUSTER)
    # More than that would be memory for whatever is said: of 128 clusters, a gigabyte.
    for clusters in (2, 128):
        with pytest.raises(DiskMalformed, match="inode 1: its tail is of no size that a cluster has"):
            tail(fd, clusters, zstandard.ZstdCompressor().compress(bytes(2 * CLUSTER)))


def test_a_tail_of_nothing_is_none(fd: int) -> None:
    with pytest.raises(DiskMalformed, match="inode 1: its tail is of no size that a cluster has"):
        tail(fd, 1, b"")
