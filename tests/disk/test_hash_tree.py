"""The hash tree behind a file system: what veritysetup makes of any size, and what is said where it makes none."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from support.verity import flip, is_intact, skip_without_veritysetup

from builder.disk.filesystem import DiskFacts, DiskOptions
from builder.disk.hash_tree import add_hash_tree, check_verity
from builder.disk.verity import Verity, tree_position, tree_size
from builder.errors import MissingRequirement, ToolMissing, UsageError
from builder.tool import find_tool

SEED = bytes(range(32))
MIB = 1 << 20


@pytest.fixture(autouse=True)
def veritysetup() -> None:
    skip_without_veritysetup()


def with_tree(image: Path, blocks: int, seed: bytes = SEED) -> Verity:
    image.write_bytes(os.urandom(4096) + bytes((blocks - 1) * 4096))
    facts = add_hash_tree(image, DiskFacts("erofs", UUID(int=0), blocks * 4096, 4096, 1, {}), seed)
    assert facts.verity is not None
    assert (facts.size, facts.verity.size) == (image.stat().st_size, image.stat().st_size)
    return facts.verity


# The edges of a block of hashes, which has 128, and of a block of those.
@pytest.mark.heavy
@pytest.mark.parametrize("blocks", [1, 2, 128, 129, 128 * 128, 128 * 128 + 1])
def test_every_size_has_a_tree_that_covers_each_byte(tmp_path: Path, blocks: int) -> None:
    image = tmp_path / "disk"
    verity = with_tree(image, blocks)
    assert (verity.data_blocks, verity.hash_offset, image.stat().st_size % 4096) == (blocks, blocks * 4096, 0)
    stated = msgspec.to_builtins(verity)
    assert is_intact(image, stated)
    # The last byte of data, the first of the tree, and the first of its last block: the lowest level comes last.
    tree = [(blocks + 1) * 4096, image.stat().st_size - 4096] if blocks > 1 else []
    for position in [blocks * 4096 - 1, *tree]:
        flip(image, position)
        assert not is_intact(image, stated), position
        flip(image, position)
    assert is_intact(image, stated)


def test_the_same_content_has_the_same_tree_and_another_seed_another_salt(tmp_path: Path) -> None:
    image, other = tmp_path / "one", tmp_path / "two"
    verity = with_tree(image, 300)
    other.write_bytes(image.read_bytes()[: 300 * 4096])
    facts = DiskFacts("erofs", UUID(int=0), 300 * 4096, 4096, 1, {})
    assert add_hash_tree(other, facts, SEED).verity == verity
    assert other.read_bytes() == image.read_bytes()
    os.truncate(other, 300 * 4096)
    salted = add_hash_tree(other, facts, bytes(32)).verity
    assert salted is not None
    assert (salted.salt != verity.salt, salted.root_hash != verity.root_hash) == (True, True)


def test_a_tree_takes_a_128th_and_a_superblock() -> None:
    assert [tree_size(blocks) // 4096 for blocks in (1, 2, 128, 129, 128**2, 128**2 + 1, 1 << 30)] == [
        1,
        2,
        2,
        4,
        130,
        133,
        1 + (1 << 23) + (1 << 16) + (1 << 9) + 4 + 1,
    ]


@pytest.mark.parametrize("blocks", [1, 2, 128, 129, 128**2, 128**2 + 1, 1 << 30])
def test_where_a_tree_begins_follows_from_the_size_of_the_disk(blocks: int) -> None:
    assert tree_position(blocks * 4096 + tree_size(blocks)) == blocks * 4096


def test_the_table_is_that_of_the_kernels_documentation() -> None:
    verity = Verity(root_hash="a" * 64, salt="b" * 64, hash_offset=262144 * 4096, data_blocks=262144)
    line = f"0 2097152 verity 1 /dev/vda /dev/vda 4096 4096 262144 262145 sha256 {'a' * 64} {'b' * 64}"
    assert verity.table("/dev/vda") == line


def test_without_veritysetup_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builder.tool._SYSTEM_DIRECTORIES", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert check_verity(DiskOptions()) == {}
    with pytest.raises(ToolMissing) as missing:
        check_verity(DiskOptions(verity=True))
    assert (missing.value.exit_status, "cryptsetup-bin" in str(missing.value)) == (4, True)


def test_a_journal_and_a_disk_that_is_never_written_to_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="nothing is ever written to a disk with --verity; leave out one"):
        check_verity(DiskOptions(verity=True, journal=True))
    assert check_verity(DiskOptions(verity=True, journal=False)).keys() == {"veritysetup"}


@pytest.mark.parametrize("what", ["exit 0", "echo 'Root hash: none'", f"echo 'Root hash: {'0' * 64}'"])
def test_a_tool_that_makes_no_tree_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    script = f'#!/bin/sh\n[ "$1" != -V ] || exec {find_tool("veritysetup")} -V\n{what}\n'
    (tools / "veritysetup").write_text(script)
    (tools / "veritysetup").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    with pytest.raises(MissingRequirement) as caught:
        with_tree(tmp_path / "disk", 9)
    assert str(caught.value) == "veritysetup ended well and made no hash tree: install a working cryptsetup-bin"


@pytest.mark.root
def test_a_full_disk_is_known_as_one(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], check=True)
    try:
        image = tmp_path / "disk"
        image.touch()
        os.truncate(image, 4096 * MIB)
        with pytest.raises(OSError, match="No space left") as full:
            add_hash_tree(image, DiskFacts("erofs", UUID(int=0), 4096 * MIB, 4096, 1, {}), SEED)
        assert (full.value.errno, full.value.filename) == (errno.ENOSPC, str(image))
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.parametrize(
    "change",
    [
        {"rootHash": "a" * 63},
        {"rootHash": "a" * 64 + "\n"},
        {"salt": 'b" init=/bin/sh "' + "b" * 47},
        {"hashOffset": 4097},
        {"hashOffset": 0},
        {"hashOffset": 1 << 63},
        {"dataBlocks": -1},
        {"dataBlocks": 1 << 62},
        {"dataBlockSize": 512},
        {"algorithm": "md5"},
        {"rootHash": None},
    ],
)
def test_what_could_not_be_a_tree_is_not_read_as_one(change: dict[str, object]) -> None:
    stated = {"rootHash": "a" * 64, "salt": "b" * 64, "hashOffset": 8192, "dataBlocks": 2}
    assert msgspec.convert(stated, Verity).data_blocks == 2
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**stated, **change}, Verity)
