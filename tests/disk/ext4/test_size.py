from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.disks import OPTIONS, dumpe2fs, filled, pack_ext4
from support.everything import everything

from builder.disk.ext4.plan import plan
from builder.errors import DiskTooSmall
from builder.tree.nodes import Directory, File, Symlink
from builder.tree.spool import Spool
from builder.tree.tree import Tree

MIB = 2**20


def many_small_files(spool: Spool) -> Tree:
    return Tree(Directory(children={b"%d" % number: filled(spool, number % 9000) for number in range(3000)}))


def many_inodes(spool: Spool) -> Tree:
    # More than one group can hold, and hardly any content.
    return Tree(Directory(children={b"%d" % number: File() for number in range(50000)}))


def one_large_file(spool: Spool) -> Tree:
    return Tree(Directory(children={b"large": filled(spool, 200 * MIB + 7)}))


def many_holes(spool: Spool) -> Tree:
    pieces = [(number * 8192, b"x") for number in range(3000)]
    return Tree(Directory(children={b"%d" % n: File(content=spool.add(3000 * 8192, pieces)) for n in range(5)}))


def metadata_blocks(spool: Spool) -> Tree:
    children = {b"l%d" % n: Symlink(target=b"t" * 1000, xattrs={b"trusted.n": b"%2000d" % n}) for n in range(400)}
    return Tree(Directory(children={**children, **{b"d%d" % number: Directory() for number in range(1000)}}))


TREES = [everything, many_small_files, many_inodes, one_large_file, many_holes, metadata_blocks]


@pytest.mark.slow
@pytest.mark.parametrize("journal", [True, False])
@pytest.mark.parametrize("make", TREES)
def test_the_automatic_size_fits_and_wastes_little(
    tmp_path: Path, spool: Spool, make: Callable[[Spool], Tree], journal: bool
) -> None:
    facts = pack_ext4(make(spool), spool, tmp_path / "image", replace(OPTIONS, journal=journal))
    stated = dumpe2fs(tmp_path / "image")
    # The smallest journal there is takes 4 MiB, and mke2fs wants as much for everything else.
    waste, tables = int(stated["Free blocks"]) * 4096, int(stated["Inode count"]) * 256
    assert waste < facts.size * 0.03 + (4 * MIB if journal and facts.size - tables < 9 * MIB else MIB)


@pytest.mark.slow
@pytest.mark.parametrize("journal", [True, False])
@pytest.mark.parametrize("make", TREES)
def test_the_size_that_an_error_asks_for_is_enough(
    tmp_path: Path, spool: Spool, make: Callable[[Spool], Tree], journal: bool
) -> None:
    tree, options = make(spool), replace(OPTIONS, journal=journal)
    with pytest.raises(DiskTooSmall) as caught:
        pack_ext4(tree, spool, tmp_path / "too-small", replace(options, size=100_000))
    needed = caught.value.needed
    assert (caught.value.option, caught.value.asked) == ("--size", 100_000)
    facts = pack_ext4(tree, spool, tmp_path / "enough", replace(options, size=needed))
    assert facts.size == (tmp_path / "enough").stat().st_size == needed
    assert facts.size == pack_ext4(tree, spool, tmp_path / "automatic", options).size
    with pytest.raises(DiskTooSmall):
        pack_ext4(tree, spool, tmp_path / "little-less", replace(options, size=needed - MIB))


def test_a_size_is_kept_and_brings_inodes_and_journal_to_match(tmp_path: Path, spool: Spool) -> None:
    facts = pack_ext4(everything(spool), spool, tmp_path / "image", replace(OPTIONS, size=2**31 + 1))
    assert facts.size == (tmp_path / "image").stat().st_size == 2**31 + 4096
    stated = dumpe2fs(tmp_path / "image")
    assert stated["Total journal size"] == "64M"
    assert 2**31 // 16384 <= int(stated["Inode count"]) < 2**31 // 16384 * 1.05


def test_free_room_is_free(tmp_path: Path, spool: Spool) -> None:
    pack_ext4(everything(spool), spool, tmp_path / "image", replace(OPTIONS, free=100 * MIB))
    stated = dumpe2fs(tmp_path / "image")
    assert 100 * MIB <= int(stated["Free blocks"]) * 4096 < 101 * MIB
    assert int(stated["Inode count"]) >= 100 * MIB // 16384


def test_the_number_of_inodes_that_an_error_asks_for_is_enough(tmp_path: Path, spool: Spool) -> None:
    tree = many_small_files(spool)
    needed = plan(tree).last_inode
    for name, asked in (("none", 1), ("one-less", needed - 1)):
        with pytest.raises(DiskTooSmall) as caught:
            pack_ext4(tree, spool, tmp_path / name, replace(OPTIONS, inodes=asked))
        assert (caught.value.option, caught.value.asked, caught.value.needed) == ("--inodes", asked, needed)
    pack_ext4(tree, spool, tmp_path / "enough", replace(OPTIONS, inodes=needed))
    # The files, and those that are reserved: the root is one of them.
    assert needed == 3000 + 10
    assert int(dumpe2fs(tmp_path / "enough")["Inode count"]) < needed + 16


def test_more_inodes_than_asked_blocks_could_hold_is_an_error_about_the_size(tmp_path: Path, spool: Spool) -> None:
    options = replace(OPTIONS, size=32 * MIB, inodes=1_000_000)
    with pytest.raises(DiskTooSmall) as caught:
        pack_ext4(everything(spool), spool, tmp_path / "image", options)
    assert caught.value.option == "--size"
    assert 256_000_000 < caught.value.needed < 330_000_000
