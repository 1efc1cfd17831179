"""Maps of blocks that lead nowhere, again and again: reading them ends after a share of what is on the disk."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from struct import pack

import pytest

from builder.disk.ext4.read import Ext4Reader
from builder.disk.reading import DiskMalformed, Volume, walk
from builder.files.descriptors import opened
from builder.tool import find_tool

BLOCK = 1024
DEPTH = 3


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Ext4Reader]:
    """Three levels of index, every entry of a level leading to the one block of the next, whose last has none."""
    (tmp_path / "root/directory").mkdir(parents=True)
    (tmp_path / "root/file").write_bytes(b"content")
    (tmp_path / "root/link").symlink_to("t" * 100)
    image = tmp_path / "image"
    made = ["-q", "-t", "ext4", "-b", str(BLOCK), "-O", "^metadata_csum,^64bit,^has_journal", "-d"]
    subprocess.run([find_tool("mke2fs"), *made, tmp_path / "root", image, "4M"], check=True, capture_output=True)
    fd = os.open(image, os.O_RDWR)
    try:
        reader = Ext4Reader(Volume.of(fd))
        free = reader.superblock.blocks - DEPTH
        for depth in range(DEPTH):
            os.pwrite(fd, node(depth, 84 if depth else 0, free + depth - 1), (free + depth) * BLOCK)
        for found in list(walk(reader)):
            if found.path in (b"directory", b"file", b"link"):
                os.pwrite(fd, node(DEPTH, 4, free + DEPTH - 1, 4), place(reader, found.inode.number) + 0x28)
        yield Ext4Reader(Volume.of(fd))
    finally:
        os.close(fd)


def node(depth: int, entries: int, block: int, room: int = 84) -> bytes:
    return pack("<HHHHI", 0xF30A, entries, room, depth, 0) + pack("<IIHH", 0, block, 0, 0) * entries


def place(reader: Ext4Reader, number: int) -> int:
    group, index = divmod(number - 1, reader.superblock.inodes_per_group)
    assert group == 0
    return reader._tables[0] * BLOCK + index * reader.superblock.inode_size


def inode_of(reader: Ext4Reader, name: bytes) -> int:
    return next(entry.number for entry in reader.entries(reader.inode(reader.root)) if entry.name == name)


@pytest.mark.parametrize(
    ("position", "value", "said"),
    [
        (0xFC, 6, "names a hash of directories that Linux does not know (6)"),
        (0x48, 1, "is the Hurd's, with features that Linux does not take from it"),
    ],
)
def test_what_e2fsck_passes_and_linux_does_not_mount_is_no_disk(
    tmp_path: Path, position: int, value: int, said: str
) -> None:
    image = tmp_path / "image"
    made = ["-q", "-t", "ext4", "-O", "^metadata_csum"]
    subprocess.run([find_tool("mke2fs"), *made, image, "1M"], check=True, capture_output=True)
    with opened(image, os.O_RDWR) as fd:
        assert Ext4Reader(Volume.of(fd)).superblock.inodes
        os.pwrite(fd, bytes([value]), 1024 + position)
        with pytest.raises(DiskMalformed) as caught:
            Ext4Reader(Volume.of(fd))
    assert str(caught.value) == f"the superblock: {said}"


@pytest.mark.parametrize("name", [b"file", b"link"])
def test_a_map_takes_no_more_blocks_than_the_content(disk: Ext4Reader, name: bytes) -> None:
    with pytest.raises(DiskMalformed, match=r"where its blocks are takes more blocks than they are"):
        list(disk.inode(inode_of(disk, name)).data())


def test_what_one_directory_took_another_has_not(disk: Ext4Reader) -> None:
    number = inode_of(disk, b"directory")
    os.pwrite(disk._volume.fd, node(2, 4, disk.superblock.blocks - DEPTH + 1, 4), place(disk, number) + 0x28)
    directory = disk.inode(number)
    takes = 4 * 85
    for _ in range((2 * disk.superblock.blocks - 10) // takes):
        assert list(disk.entries(directory)) == []
    with pytest.raises(DiskMalformed, match=r"^inode \d+: where its blocks are takes more blocks than they are$"):
        list(disk.entries(directory))
