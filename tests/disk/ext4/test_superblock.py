"""The superblock and its copies are the same, whatever processor mke2fs runs on."""

from __future__ import annotations

import struct
from pathlib import Path
from uuid import UUID

from support.disks import check_ext4, dumpe2fs

from builder.disk.ext4.layout import checksum
from builder.disk.ext4.mke2fs import Layout, Mke2fs
from builder.disk.ext4.superblock import sign_hashes
from builder.exact import read_at, write_at

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
        sign_hashes(file.fileno())
        assert [read_at(file.fileno(), 1024, place) for place in PLACES] == signed
    assert dumpe2fs(path)["Filesystem flags"] == "signed_directory_hash"
    check_ext4(path)
