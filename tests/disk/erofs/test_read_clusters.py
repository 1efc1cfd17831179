"""Indexes of clusters that lie are refused before memory is taken for what they say."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

import pytest
import zstandard

from builder.disk.erofs import read_content
from builder.disk.erofs.read_content import COMPACT_INDEX, FULL_INDEX, ContentReader, Place
from builder.disk.erofs.read_superblock import Superblock
from builder.disk.reading import DiskMalformed, Volume

# Blocks of 64 KiB, and logical clusters of 128 of them, the largest there are.
BLOCK_BITS, MORE_BITS = 16, 7
CLUSTER = 1 << BLOCK_BITS + MORE_BITS
TAILS, ZSTD = 0x1 | 0x2 | 0x10, 3
PLAIN, HEAD, NO_HEAD, TAIL = 0, 1, 2, 0x08
FRAGMENTS = 0x1 | 0x2 | 0x20


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


@pytest.mark.parametrize(
    ("advice", "said"),
    [
        (0x2, "clusters of one of its algorithms alone are large"),
        (0x4, "clusters of one of its algorithms alone are large"),
        (TAIL | 0x20, "its end is in two places"),
    ],
)
def test_what_linux_takes_for_corrupt_is_not_read(fd: int, advice: int, said: str) -> None:
    os.pwrite(fd, struct.pack("<IHBB32x", 0, advice, 0, 0), 0)
    superblock = Superblock(12, 1, 0, 0, 0, TAILS | FRAGMENTS, 0, 0, 0, 0)
    with pytest.raises(DiskMalformed, match=f"^inode 1: {said}$"):
        list(ContentReader(Volume.of(fd), superblock).read(Place("inode 1", COMPACT_INDEX, 10, 0, 0)))


def test_fragments_are_found_wherever_they_lie_and_in_so_many_clusters_only(
    fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = [bytes([number]) * (1 << BLOCK_BITS) for number in range(1, 6)]
    index = b"".join(struct.pack("<HHI", PLAIN, 0, number) for number in range(1, 6))
    os.pwrite(fd, struct.pack("<IHBB8x", 0, 0, 0, 0) + index, 0)
    os.pwrite(fd, b"".join(blocks), 1 << BLOCK_BITS)
    superblock = Superblock(BLOCK_BITS, 1, 0, 0, 0, FRAGMENTS, 0, 0, 0, 0)
    whole = b"".join(blocks)[:-9]

    def reader() -> ContentReader:
        return ContentReader(Volume.of(fd), superblock, Place("inode 1", FULL_INDEX, len(whole), 0, 0))

    edges = [at for block in range(6) for at in (block << BLOCK_BITS, (block << BLOCK_BITS) + 1) if at < len(whole)]
    read = reader()
    for start in edges:
        for end in (*edges, len(whole)):
            assert end < start or read.fragment(start, end - start) == whole[start:end]
    monkeypatch.setattr(read_content, "_MOST_CLUSTERS", 4)
    read = reader()
    with pytest.raises(DiskMalformed, match="inode 1: the fragments are in more than 4 clusters"):
        read.fragment(0, 1)
    # And what was not found of them does not become zeros.
    with pytest.raises(DiskMalformed, match="inode 1: the fragments are not all there"):
        read.fragment(len(whole) - 1, 1)


def test_a_tail_of_nothing_is_none(fd: int) -> None:
    with pytest.raises(DiskMalformed, match="inode 1: its tail is of no size that a cluster has"):
        tail(fd, 1, b"")
