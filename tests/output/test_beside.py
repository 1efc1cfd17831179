"""What stands beside a disk is believed if it is metadata of a disk that is as long as they say, and told of if not."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from builder.disk.verity import Verity
from builder.errors import UsageError
from builder.output.beside import DiskCut, read_verity

VERITY: dict[str, Any] = {"rootHash": "a" * 64, "salt": "b" * 64, "hashOffset": 8192, "dataBlocks": 2}
SIZE = 8192 + 2 * 4096


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    (tmp_path / "disk.ext4").touch()
    os.truncate(tmp_path / "disk.ext4", SIZE)
    return tmp_path / "disk.ext4"


def write(path: Path, verity: object = VERITY) -> Path:
    path.write_text(json.dumps({"builder": "0.1", "verity": verity, "disk": {"size": SIZE}, "more": 1}))
    return path


def test_metadata_are_looked_for_beside_the_disk_under_its_whole_name(disk: Path) -> None:
    write(disk.with_name("disk.json"))
    assert read_verity(disk) is None
    write(disk.with_name("disk.ext4.json"))
    assert read_verity(disk) == Verity("a" * 64, "b" * 64, 8192, 2)


def test_what_is_named_comes_before_what_is_beside(disk: Path, tmp_path: Path) -> None:
    write(disk.with_name("disk.ext4.json"))
    assert read_verity(disk, write(tmp_path / "other", verity=None)) is None


def test_a_disk_without_a_tree_has_none(disk: Path) -> None:
    write(disk.with_name("disk.ext4.json"), verity=None)
    assert read_verity(disk) is None


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"garbage", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"builder": "x", "verity": 1}', b'{"builder": 1}'),
        *('{"builder": "x"}'.encode(encoding) for encoding in ("utf-16", "utf-16-be", "utf-32")),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_what_is_no_metadata_is_one_line_and_not_a_disk_without_a_tree(disk: Path, content: bytes, named: bool) -> None:
    place = disk.with_name("m" if named else "disk.ext4.json")
    place.write_bytes(content)
    with pytest.raises(UsageError) as refused:
        read_verity(disk, place if named else None)
    assert str(refused.value).startswith(f"{place}: is no metadata of a disk (")
    assert str(refused.value).endswith("); build the disk again, or name them with --metadata")


def test_what_is_beside_and_no_file_is_not_waited_for(disk: Path) -> None:
    os.mkfifo(disk.with_name("disk.ext4.json"))
    assert read_verity(disk) is None


def test_a_root_hash_that_says_more_to_the_kernel_is_no_root_hash(disk: Path) -> None:
    write(disk.with_name("disk.ext4.json"), {**VERITY, "salt": '" init=/bin/sh "'})
    with pytest.raises(UsageError, match=r"Expected `str` matching regex"):
        read_verity(disk)


def test_a_disk_whose_tree_was_cut_off_is_told_in_one_line(disk: Path) -> None:
    metadata = write(disk.with_name("disk.ext4.json"))
    os.truncate(disk, SIZE - 4096)
    with pytest.raises(DiskCut) as cut:
        read_verity(disk)
    said = f"{disk}: has {SIZE - 4096} bytes, and by {metadata} its hash tree ends at {SIZE}; build it again"
    assert str(cut.value) == said
    os.truncate(disk, SIZE + 4096)
    assert read_verity(disk) is not None
