"""What a guest finds on an ext4 disk: everything that the tree holds, and nothing else."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from support.disks import OPTIONS, check_ext4, dumpe2fs, filled, pack_ext4, tree_of
from support.everything import everything
from support.mounts import mounted
from support.trees import differences, expected, scan

from builder.disk.ext4.inode import MAX_TIME, MIN_TIME
from builder.events import Event, Notice
from builder.tool import find_tool
from builder.tree.nodes import Device, Directory, Fifo, File, Symlink
from builder.tree.spool import Spool
from builder.tree.tree import Tree

SECOND = 10**9


def counting(size: int) -> bytes:
    """`size` bytes in which each four differ from all others."""
    return b"".join(number.to_bytes(4, "little") for number in range(1, size // 4 + 1))


def assert_mounts_as(tree: Tree, spool: Spool, image: Path) -> None:
    with mounted(image) as directory:
        assert differences(scan(directory), expected(tree, spool)) == []


@pytest.mark.root
def test_a_mounted_disk_shows_everything_that_a_tree_can_hold(tmp_path: Path, spool: Spool) -> None:
    tree = everything(spool)
    pack_ext4(tree, spool, tmp_path / "image")
    assert_mounts_as(tree, spool, tmp_path / "image")


@pytest.mark.root
def test_an_empty_tree_gives_an_empty_disk(tmp_path: Path, spool: Spool) -> None:
    tree = Tree(Directory(0o1711, 70000, 80000, -5))
    facts = pack_ext4(tree, spool, tmp_path / "image")
    assert_mounts_as(tree, spool, tmp_path / "image")
    # The reserved ones, and nothing beside: not even lost+found.
    assert facts.inodes == 10


@pytest.mark.root
def test_the_images_own_lost_and_found_is_an_ordinary_directory(tmp_path: Path, spool: Spool) -> None:
    lost = Directory(0o755, 5, 6, 7, children={b"found": filled(spool, 3)})
    tree = Tree(Directory(children={b"lost+found": lost}))
    pack_ext4(tree, spool, tmp_path / "image")
    assert_mounts_as(tree, spool, tmp_path / "image")


@pytest.mark.root
def test_names_may_hold_any_bytes_and_255_of_them(tmp_path: Path, spool: Spool) -> None:
    names = [bytes([byte]) for byte in range(1, 256) if byte not in b"/."] + [b"n" * 255, b"...", b"0000", b"shards"]
    tree = Tree(Directory(children={name: filled(spool, index) for index, name in enumerate(names)}))
    pack_ext4(tree, spool, tmp_path / "image")
    assert_mounts_as(tree, spool, tmp_path / "image")


@pytest.mark.root
def test_symlinks_of_every_length_are_kept(tmp_path: Path, spool: Spool) -> None:
    links = {f"l{size}": Symlink(target=b"t" * size) for size in (1, 59, 60, 61, 4095)}
    twice = Symlink(target=b"shared", uid=3)
    tree = tree_of(**links, one=twice, other=twice)
    pack_ext4(tree, spool, tmp_path / "image")
    assert_mounts_as(tree, spool, tmp_path / "image")


@pytest.mark.root
def test_device_numbers_are_kept_in_both_encodings(tmp_path: Path, spool: Spool) -> None:
    numbers = ((1, 3), (255, 255), (256, 0), (0, 256), (4095, 1048575), (8, 4096))
    kinds = {"character": False, "block": True}
    devices = {
        f"{kind}-{a}-{b}": Device(0o600, 1, 2, 3, {}, block, a, b) for a, b in numbers for kind, block in kinds.items()
    }
    tree = tree_of(**devices, fifo=Fifo(0o622), null=Device(0o666, major=1, minor=3))
    tree.root.children[b"again"] = tree.root.children[b"null"]
    pack_ext4(tree, spool, tmp_path / "image")
    assert_mounts_as(tree, spool, tmp_path / "image")


@pytest.mark.root
def test_times_are_kept_to_the_nanosecond_and_clamped_to_what_ext4_holds(tmp_path: Path, spool: Spool) -> None:
    times = [0, -1, 1, MIN_TIME, MAX_TIME, 2**31 * SECOND - 1, 2**31 * SECOND, 2**32 * SECOND + 5, 2**33 * SECOND]
    tree = Tree(Directory(children={b"%d" % index: File(mtime_ns=value) for index, value in enumerate(times)}))
    heard: list[Event] = []
    pack_ext4(tree, spool, tmp_path / "image", listen=heard.append)
    assert_mounts_as(tree, spool, tmp_path / "image")
    assert [event for event in heard if isinstance(event, Notice)] == []

    tree = tree_of(past=File(mtime_ns=MIN_TIME - 1), future=File(mtime_ns=MAX_TIME + 1))
    pack_ext4(tree, spool, tmp_path / "clamped", listen=heard.append)
    tree = tree_of(past=File(mtime_ns=MIN_TIME), future=File(mtime_ns=MAX_TIME))
    assert_mounts_as(tree, spool, tmp_path / "clamped")
    assert [event for event in heard if isinstance(event, Notice)] == [
        Notice("2 modification times outside ext4's range (1901 to 2446) became its first or last")
    ]


@pytest.mark.root
def test_all_four_times_are_the_modification_time(tmp_path: Path, spool: Spool) -> None:
    pack_ext4(tree_of(file=File(mtime_ns=1234567890_987654321)), spool, tmp_path / "image")
    with mounted(tmp_path / "image", "ro,noatime") as directory:
        status = subprocess.run(["stat", "-c", "%x|%y|%z|%w", directory / "file"], capture_output=True, check=True)
        assert len(set(status.stdout.strip().split(b"|"))) == 1
        assert (directory / "file").stat().st_atime_ns == 1234567890_987654321


@pytest.mark.root
def test_xattrs_are_kept_in_the_inode_and_in_shared_blocks(tmp_path: Path, spool: Spool) -> None:
    large = {b"user.large": os.urandom(3900), b"user.small": b"in the inode", b"trusted.empty": b""}
    odd = {b'user."quoted" and\nbroken': b"\0\xff\n", b"user.\xc3\xa9": b"e", b"security.x": bytes(80)}
    sharing = {f"shared{index}": File(xattrs=large) for index in range(1030)}
    tree = tree_of(**sharing, odd=File(xattrs=odd), link=Symlink(target=b"t" * 99, xattrs={b"trusted.l": b"x" * 200}))
    tree.root.xattrs = {b"user.of.root": b"r" * 1000}
    pack_ext4(tree, spool, tmp_path / "image")
    assert_mounts_as(tree, spool, tmp_path / "image")


@pytest.mark.root
@pytest.mark.slow
def test_large_sparse_files_and_files_in_many_pieces(tmp_path: Path, spool: Spool) -> None:
    pieces = [(megabyte * 2**20 + 4090, b"piece") for megabyte in range(0, 5 * 1024, 2)]
    size = 5 * 2**30 + 1
    tree = tree_of(pieces=File(content=spool.add(size, pieces)), hole=File(content=spool.add(2**40, [])))
    pack_ext4(tree, spool, tmp_path / "image")
    assert_mounts_as(tree, spool, tmp_path / "image")
    assert (tmp_path / "image").stat().st_size < 64 * 2**20


@pytest.mark.root
@pytest.mark.slow
def test_large_directories_and_deep_ones(tmp_path: Path, spool: Spool) -> None:
    # More subdirectories than a link count can hold, more inodes than a group can hold, deeper than PATH_MAX.
    tree = tree_of(
        wide=Directory(children={b"%d" % number: Directory(mtime_ns=number) for number in range(65001)}),
        files=Directory(children={b"file %d" % number: File(uid=number) for number in range(40000)}),
    )
    directory = tree.root
    for _ in range(600):
        directory.children[b"0123456789"] = directory = Directory(0o700)
    pack_ext4(tree, spool, tmp_path / "image")
    assert_mounts_as(tree, spool, tmp_path / "image")


@pytest.mark.root
@pytest.mark.parametrize("stretches", [4, 5, 340, 400, 1361, 2000])
def test_a_file_of_many_stretches_keeps_them(tmp_path: Path, spool: Spool, stretches: int) -> None:
    # Four extents fit into an inode, 340 into a block, and the inode has room for four of those.
    pieces = [(number * 3 * 4096, b"%d" % number) for number in range(stretches)]
    tree = tree_of(file=File(content=spool.add(stretches * 3 * 4096 + 5, pieces)), after=filled(spool, 9))
    pack_ext4(tree, spool, tmp_path / "image")
    assert_mounts_as(tree, spool, tmp_path / "image")
    inner = {4: 0, 5: 1, 340: 1, 400: 2, 1361: 5 + 1, 2000: 6 + 1}[stretches]
    with mounted(tmp_path / "image") as directory:
        assert (directory / "file").stat().st_blocks == (stretches + inner) * 8


@pytest.mark.root
def test_files_are_kept_where_many_inodes_make_groups_small(tmp_path: Path, spool: Spool) -> None:
    # Beside 32,768 inodes a group here has some 100 blocks for content.
    tree = tree_of(large=File(content=spool.keep(counting(20 * 2**20))), small=filled(spool, 9))
    pack_ext4(tree, spool, tmp_path / "image", replace(OPTIONS, inodes=600_000, journal=False))
    assert int(dumpe2fs(tmp_path / "image")["Blocks per group"]) < 32768
    assert_mounts_as(tree, spool, tmp_path / "image")


@pytest.mark.root
def test_files_that_share_content_in_the_spool_have_each_their_own(tmp_path: Path, spool: Spool) -> None:
    content = spool.keep(counting(10000))
    tree = tree_of(one=File(content=content), other=File(uid=5, content=content), third=filled(spool, 9))
    pack_ext4(tree, spool, tmp_path / "image")
    assert_mounts_as(tree, spool, tmp_path / "image")


@pytest.mark.root
def test_content_that_no_file_has_any_more_is_not_in_the_image(tmp_path: Path, spool: Spool) -> None:
    def delete() -> None:
        spool.keep(b"deleted!" * 500_001)

    delete()
    first = filled(spool, 5000, b"1")
    delete()
    last = filled(spool, 3, b"2")
    delete()
    tree = tree_of(last=last, first=first)
    facts = pack_ext4(tree, spool, tmp_path / "image", replace(OPTIONS, journal=False))
    assert_mounts_as(tree, spool, tmp_path / "image")
    assert b"deleted" not in (tmp_path / "image").read_bytes()
    assert facts.size < 2**20


@pytest.mark.root
def test_the_guest_can_write_to_every_directory(tmp_path: Path, spool: Spool) -> None:
    tree = everything(spool)
    pack_ext4(tree, spool, tmp_path / "image", replace(OPTIONS, free=8 * 2**20, inodes=5000))
    with mounted(tmp_path / "image", "rw") as directory:
        for parent in [directory, *(path for path in directory.rglob("*") if path.is_dir() and not path.is_symlink())]:
            for number in range(100):
                (parent / f"new file {number:050d}").write_bytes(b"x" * number)
                if number % 3 == 0:
                    (parent / f"new file {number:050d}").unlink()
    check_ext4(tmp_path / "image")


def test_debugfs_reads_what_the_tree_holds_without_root(tmp_path: Path, spool: Spool) -> None:
    pack_ext4(tree_of(etc=Directory(children={b"hosts": filled(spool, 70000, b"h")})), spool, tmp_path / "image")
    argv = [find_tool("debugfs"), "-R", f'dump /etc/hosts "{tmp_path}/hosts"', str(tmp_path / "image")]
    subprocess.run(argv, check=True, capture_output=True)
    assert (tmp_path / "hosts").read_bytes() == b"h" * 70000
