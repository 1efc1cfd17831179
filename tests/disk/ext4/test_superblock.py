"""The superblock and its copies are the same, whatever processor and file system mke2fs runs on."""

from __future__ import annotations

import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import pytest
from support.disks import check_ext4, dumpe2fs

from builder.disk.ext4.layout import checksum
from builder.disk.ext4.mke2fs import Layout, Mke2fs
from builder.disk.ext4.superblock import make_alike
from builder.exact import read_at, write_at
from builder.sandbox import seccomp

# Each of 128 MiB.
GROUPS = 50
COPIES = (1, 3, 5, 7, 9, 25, 27, 49)
PLACES = (1024, *(group << 27 for group in COPIES))


def test_names_are_hashed_in_the_same_way_on_every_processor(tmp_path: Path) -> None:
    path = tmp_path / "image"
    with path.open("x+b") as file:
        fd = file.fileno()
        Mke2fs(tmp_path, UUID(int=1), UUID(int=2), "", 1).make(fd, Layout(GROUPS * 32768, 1000, 0), path)
        signed = [read_at(fd, 1024, place) for place in PLACES]
        for place, block in zip(PLACES, signed, strict=True):
            assert block[0x38:0x3A] == b"\x53\xef"
            # As mke2fs has it where a char of C is unsigned, such as on arm64.
            unsigned = block[:0x160] + struct.pack("<I", 2) + block[0x164:0x3FC]
            write_at(fd, unsigned + struct.pack("<I", checksum((unsigned,))), place)
    assert dumpe2fs(path)["Filesystem flags"] == "unsigned_directory_hash"
    check_ext4(path)
    with path.open("r+b") as file:
        make_alike(file.fileno())
        assert [read_at(file.fileno(), 1024, place) for place in PLACES] == signed
    assert dumpe2fs(path)["Filesystem flags"] == "signed_directory_hash"
    check_ext4(path)


@pytest.mark.skipif(not seccomp.is_there(), reason="NOT RUN: needs a kernel with seccomp")
def test_a_file_system_that_cannot_make_holes_makes_no_other_superblocks(tmp_path: Path) -> None:
    def made(name: str, refused: bool) -> list[bytes]:
        path = tmp_path / name
        with path.open("x+b") as file, ThreadPoolExecutor(1) as thread:
            if refused:
                # What a thread is refused, so is what it starts; it ends with this.
                thread.submit(seccomp.refuse, {"fallocate": (285, 47)}).result()
            mke2fs = Mke2fs(tmp_path, UUID(int=1), UUID(int=2), "", 1)
            thread.submit(mke2fs.make, file.fileno(), Layout(GROUPS * 32768, 1000, 0), path).result()
            return [read_at(file.fileno(), 1024, place) for place in PLACES]

    assert made("without", refused=True) == made("with", refused=False)
