"""A directory of more than one block is indexed: the kernel finds every name by its hash."""

from __future__ import annotations

import os
import random
import struct
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from support.disks import OPTIONS, check_ext4, pack_ext4
from support.mounts import mounted

from builder.disk.ext4 import htree
from builder.disk.ext4.half_md4 import name_hashes
from builder.disk.ext4.htree import Index, index_of, indexed_blocks
from builder.disk.ext4.layout import checksum
from builder.disk.filesystem import derived_uuid
from builder.tree.nodes import Directory, File, Node
from builder.tree.spool import Spool
from builder.tree.tree import Tree

UUID_1 = UUID(int=1)
# That of the disks that OPTIONS make.
SEED = derived_uuid(OPTIONS.seed, "ext4 hash seed")

# Names of 255 bytes that share one hash under that seed: two leaves and more of them. An image's maker cannot know
# the seed of the image beforehand, so it took a search through 2^37 names; but somebody's luck may be bad.
_SHARING = """
5 dcdebd5 1d29ba18 1e12f263 d024f758 11ca057c7 168dce5b4 1b9d485b9 2c9109ea7 2cefdec19 2de4cb183 35e94a94a
39bafc51c 3cc3f7834 3d010d9d0 42a5af130 4bc78f259 4d2d46ad5 58b40f05e 5d2b20756 66c69da34 689fc3145 81d2869fc
8478bf3c8 84b4ae71f 8a48c5b4d 8f45703f5 9941110a7 9dc3559e6 a32475d2f
"""
SHARING = [b"x" * 224 + word.encode().rjust(31, b"0") for word in _SHARING.split()]
# A name with the hash that the kernel takes for another one.
LAST = b"%031x" % 16481780587


def random_names(count: int, longest: int = 255) -> list[bytes]:
    """Different names of all bytes that a name may hold."""
    drawn = random.Random(count)
    letters = [byte for byte in range(1, 256) if byte != ord("/")]
    return [b"%d" % number + bytes(drawn.choices(letters, k=drawn.randrange(longest - 5))) for number in range(count)]


def below(block: bytes, head: int) -> list[tuple[int, int]]:
    """Hash and block of all that is below a root or node, which the checksum has to fit."""
    room, count = struct.unpack_from("<HH", block, head)
    assert room == (4096 - head - 8) // 8
    assert 1 <= count <= room
    used = block[: head + 8 * count]
    assert block[4088:] == struct.pack("<II", 0, checksum((UUID_1.bytes, struct.pack("<II", 12, 0), used, bytes(8))))
    pairs = list(struct.iter_unpack("<II", used[head:]))
    return [(0, pairs[0][1]), *pairs[1:]]


def leaves_of(blocks: bytes) -> list[tuple[int, list[bytes]]]:
    """The hash and the names of each leaf, as the tree leads to them."""
    cut = [blocks[start : start + 4096] for start in range(0, len(blocks), 4096)]
    dot, dot_dot = struct.unpack_from("<IHBB4s", cut[0], 0), struct.unpack_from("<IHBB4s", cut[0], 12)
    assert dot == (12, 12, 1, 2, b".\0\0\0")
    assert dot_dot == (2, 4084, 2, 2, b"..\0\0")
    zero, version, size, levels, flags = struct.unpack_from("<IBBBB", cut[0], 24)
    assert (zero, version, size, flags) == (0, 1, 8, 0)
    assert levels in (0, 1)
    reached = below(cut[0], 32)
    seen = {0}
    if levels:
        nodes, reached = reached, []
        for value, number in nodes:
            assert struct.unpack_from("<IHBB", cut[number], 0) == (0, 4096, 0, 0)
            (_, first), *others = below(cut[number], 8)
            reached += [(value, first), *others]
            seen.add(number)
    seen.update(number for _, number in reached)
    assert seen == set(range(len(cut)))
    return [(value, names_in(cut[number])) for value, number in reached]


def names_in(leaf: bytes) -> list[bytes]:
    assert leaf[4092:] == struct.pack("<I", checksum((UUID_1.bytes, struct.pack("<II", 12, 0), leaf[:4084])))
    names, at = [], 0
    while at < 4084:
        inode, size, length, kind = struct.unpack_from("<IHBB", leaf, at)
        names.append(leaf[at + 8 : at + 8 + length])
        assert (inode, kind) == (entry_of(names[-1])[1:])
        at += size
    return names


def finds(leaves: Sequence[tuple[int, list[bytes]]], name: bytes, value: int) -> bool:
    """Search as the kernel does (fs/ext4/namei.c): in the last leaf that may hold a hash, and where that goes on."""
    at = max(place for place, (from_, _) in enumerate(leaves) if from_ <= value)
    while name not in leaves[at][1]:
        at += 1
        if at == len(leaves) or leaves[at][0] & ~1 != value:
            return False
    return True


def entry_of(name: bytes) -> tuple[bytes, int, int]:
    return name, 20 + len(name), 1


def assert_indexed(names: list[bytes]) -> Index:
    """Require an index in which every name is found, and none twice."""
    index = index_of(sorted(names), SEED)
    assert index is not None
    blocks = indexed_blocks(12, 2, index, entry_of, UUID_1)
    assert len(blocks) == 4096 * index.blocks
    leaves = leaves_of(blocks)
    hashes = [value for value, _ in leaves]
    assert hashes == sorted(hashes)
    assert sorted(name for _, held in leaves for name in held) == sorted(names)
    for name, value in zip(names, name_hashes(names, SEED.bytes), strict=True):
        assert finds(leaves, name, value)
    return index


@pytest.mark.heavy
@pytest.mark.parametrize("longest", [6, 20, 60, 250])
def test_every_name_is_found_by_its_hash(longest: int) -> None:
    for count in range(500, 520):
        assert_indexed(random_names(count, longest))


@pytest.mark.heavy
def test_names_of_all_bytes_are_found_through_nodes() -> None:
    index = assert_indexed(random_names(20000))
    assert index.nodes == 2


@pytest.mark.heavy
@pytest.mark.parametrize(("leaves", "nodes"), [(507, 0), (508, 1), (510, 1), (511, 2)])
def test_a_node_stands_between_where_the_root_has_no_room(leaves: int, nodes: int) -> None:
    # 15 entries of names of 255 bytes are a leaf.
    index = assert_indexed([b"%0255d" % number for number in range(15 * leaves)])
    assert (len(index.leaves), index.nodes) == (leaves, nodes)


def test_what_is_in_one_block_has_no_index() -> None:
    # 4,060 bytes beside the entries of the directory and of its parent.
    assert index_of([b"%04d" % number for number in range(338)], SEED) is None
    index = assert_indexed([b"%04d" % number for number in range(339)])
    # All of them are in one leaf then.
    assert index.blocks == 2


def test_names_that_share_a_hash_may_fill_leaves() -> None:
    assert len(set(name_hashes(SHARING, SEED.bytes))) == 1
    index = assert_indexed([*SHARING, *random_names(500)])
    [value] = set(name_hashes(SHARING, SEED.bytes))
    assert [from_ for from_, _ in index.leaves].count(value | 1) >= 2


def test_there_is_no_index_where_kernel_and_e2fsck_disagree() -> None:
    assert list(name_hashes([LAST], SEED.bytes)) == [0xFFFFFFFE]
    assert index_of([LAST, *random_names(500)], SEED) is None


def test_there_is_no_index_where_two_levels_are_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [b"%0255d" % number for number in range(151)]
    monkeypatch.setattr(htree, "_MAX_LEAVES", 10)
    assert index_of(names[:150], SEED) is not None
    assert index_of(names, SEED) is None


# Directories of many kinds of names; how many blocks each has is known before there is a disk.
DIRECTORIES: dict[str, Callable[[], list[bytes]]] = {
    "linear": lambda: [b"%d" % number for number in range(100)],
    "ascii": lambda: [b"file %d" % number for number in range(5000)],
    "any bytes": lambda: random_names(3000),
    "with nodes": lambda: [(b"%d" % number).ljust(255, b"\xe9") for number in range(8000)],
    "one hash": lambda: [*SHARING, *random_names(100)],
    "last hash": lambda: [LAST, *random_names(100)],
}


@pytest.mark.root
@pytest.mark.parametrize("kind", DIRECTORIES)
def test_the_kernel_finds_and_changes_every_entry(kind: str, tmp_path: Path, spool: Spool) -> None:
    names = DIRECTORIES[kind]()
    children: dict[bytes, Node] = {name: File(uid=number) for number, name in enumerate(names)}
    tree = Tree(Directory(children={b"directory": Directory(children=children)}))
    image = tmp_path / "image"
    pack_ext4(tree, spool, image, replace(OPTIONS, free=32 << 20, inodes=20000))
    with mounted(image, "rw") as mount:
        directory = bytes(mount / "directory")
        assert sorted(os.listdir(directory)) == sorted(names)
        for number, name in enumerate(names):
            assert os.lstat(os.path.join(directory, name)).st_uid == number
        assert not os.path.lexists(os.path.join(directory, b"none"))
        flags = subprocess.run(["lsattr", "-d", directory], capture_output=True, check=True).stdout.split()[0]
        assert (b"I" in flags) == (kind not in ("linear", "last hash"))
        added = {b"added %d" % number for number in range(1000)}
        for name in added:
            os.close(os.open(os.path.join(directory, name), os.O_CREAT | os.O_EXCL))
        removed = names[::3]
        for name in removed:
            os.unlink(os.path.join(directory, name))
        renamed = {name: b"renamed %d" % number for number, name in enumerate(names[1::3])}
        for name, other in renamed.items():
            os.rename(os.path.join(directory, name), os.path.join(directory, other))
        left = {*names} - {*removed} - {*renamed} | added | {*renamed.values()}
        assert {*os.listdir(directory)} == left
    check_ext4(image)


def test_the_order_of_the_layers_entries_has_no_say_in_the_bytes(tmp_path: Path, spool: Spool) -> None:
    names = random_names(2000)
    images = []
    for turn, ordered in enumerate((names, names[::-1])):
        files: dict[bytes, Node] = {name: File(mtime_ns=len(name)) for name in ordered}
        pack_ext4(Tree(Directory(children=files)), spool, tmp_path / f"image{turn}")
        images.append((tmp_path / f"image{turn}").read_bytes())
    assert images[0] == images[1]
