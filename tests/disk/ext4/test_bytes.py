"""The bytes of an ext4 disk follow from the tree and the options, and from nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from support.disks import OPTIONS, dumpe2fs, filled, pack_ext4, tree_of
from support.everything import everything
from support.users import open_to_users, run_as_user

from builder.disk.filesystem import DiskOptions
from builder.tool import find_tool
from builder.tree.nodes import File
from builder.tree.spool import Spool


def test_what_is_a_hole_in_the_spool_has_no_say_in_the_bytes(tmp_path: Path, spool: Spool) -> None:
    zeros = [(0, b"a" * 5000 + bytes(50000) + b"b" * 5000 + bytes(9000))]
    holes = [(0, b"a" * 5000), (55000, b"b" * 5000)]
    for name, pieces in (("zeros", zeros), ("holes", holes)):
        tree = tree_of(file=File(content=spool.add(69000, pieces)), after=filled(spool, 9))
        pack_ext4(tree, spool, tmp_path / name)
    assert (tmp_path / "zeros").read_bytes() == (tmp_path / "holes").read_bytes()


def test_the_image_file_is_sparse(tmp_path: Path, spool: Spool) -> None:
    facts = pack_ext4(everything(spool), spool, tmp_path / "image", replace(OPTIONS, size=2**30))
    status = (tmp_path / "image").stat()
    assert status.st_size == facts.size == 2**30
    assert status.st_blocks * 512 < 2**20


def test_facts_and_superblock_say_what_was_asked_for(tmp_path: Path, spool: Spool) -> None:
    uuid = UUID("01234567-89ab-4cde-8f01-23456789abcd")
    options = DiskOptions(seed=b"s", epoch=1_700_000_000, uuid=uuid, label="-grün zwölf!", inodes=5000)
    facts = pack_ext4(everything(spool), spool, tmp_path / "image", options)
    stated = dumpe2fs(tmp_path / "image")
    assert (facts.format, facts.uuid, facts.block_size) == ("ext4", uuid, 4096)
    assert facts.size == (tmp_path / "image").stat().st_size == int(stated["Block count"]) * 4096
    assert list(facts.tools) == ["mke2fs"]
    assert stated["Filesystem UUID"] == str(uuid)
    assert stated["Filesystem volume name"] == "-grün zwölf!"
    assert (stated["Block size"], stated["Inode size"]) == ("4096", "256")
    assert 5000 <= int(stated["Inode count"]) < 5016
    assert int(stated["Inode count"]) - int(stated["Free inodes"]) == facts.inodes
    for name in ("Filesystem created", "Last write time", "Last checked"):
        assert stated[name] == "Tue Nov 14 22:13:20 2023"
    assert stated["Filesystem features"] == (
        "has_journal ext_attr resize_inode dir_index filetype extent 64bit flex_bg sparse_super large_file "
        "huge_file dir_nlink extra_isize metadata_csum"
    )


def test_the_superblock_counts_what_is_free_in_all_groups(tmp_path: Path, spool: Spool) -> None:
    # e2fsck takes it as it comes: the kernel counts anew.
    pack_ext4(everything(spool), spool, tmp_path / "image", replace(OPTIONS, size=2**30))
    printed = subprocess.run([find_tool("dumpe2fs"), tmp_path / "image"], capture_output=True, text=True, check=True)
    groups = [tuple(map(int, found)) for found in re.findall(r"(\d+) free blocks, (\d+) free inodes", printed.stdout)]
    stated = dumpe2fs(tmp_path / "image")
    assert len(groups) == 8
    assert (int(stated["Free blocks"]), int(stated["Free inodes"])) == tuple(map(sum, zip(*groups, strict=True)))


def test_a_disk_without_a_journal_has_none_and_is_small(tmp_path: Path, spool: Spool) -> None:
    facts = pack_ext4(tree_of(file=filled(spool, 9)), spool, tmp_path / "image", replace(OPTIONS, journal=False))
    assert "has_journal" not in dumpe2fs(tmp_path / "image")["Filesystem features"]
    assert facts.size < 2**19


def test_uuid_and_hash_seed_depend_on_the_seed_alone(tmp_path: Path, spool: Spool) -> None:
    tree = tree_of(file=filled(spool, 9))
    stated = []
    for name, seed in (("one", b"1"), ("same", b"1"), ("other", b"2")):
        pack_ext4(tree, spool, tmp_path / name, DiskOptions(seed=seed))
        superblock = dumpe2fs(tmp_path / name)
        stated.append((superblock["Filesystem UUID"], superblock["Directory Hash Seed"]))
    assert stated[0] == stated[1]
    assert len({*stated[0], *stated[2]}) == 4
    assert [(UUID(text).version, UUID(text).variant) for text in stated[0]] == [(8, "specified in RFC 4122")] * 2


_PACK = """
import sys
from pathlib import Path
from builder.disk.ext4 import content, fill
from builder.disk.ext4.pack import Ext4
from builder.disk.filesystem import DiskOptions
from builder.tool import find_tool
from builder.events import ignore
from builder.tree.spool import open_spool
from support.everything import everything
"""
_PACK_CODE = """
import os
os.umask(0o077)
os.environ.update(TZ="Asia/Tokyo", LC_ALL="de_DE.UTF-8", MKE2FS_CONFIG="/nowhere", E2FSPROGS_FAKE_TIME="77")
work = Path(sys.argv[1])
(work / "scratch?with=odd&characters").mkdir()
with open_spool(work) as spool:
    options = DiskOptions(seed=b"s" * 32)
    scratch = work / "scratch?with=odd&characters"
    Ext4().pack(everything(spool), spool, options, scratch, work / "image?offset=7", ignore)
"""


def test_the_bytes_do_not_depend_on_user_place_time_and_surroundings(tmp_path: Path, spool: Spool) -> None:
    pack_ext4(everything(spool), spool, tmp_path / "image")
    elsewhere = tmp_path / "another directory"
    elsewhere.mkdir(mode=0o777)
    elsewhere.chmod(0o777)
    # The clock of inode times ticks in seconds.
    time.sleep(1.1)
    run_as_user(_PACK, _PACK_CODE, open_to_users(elsewhere))
    assert (elsewhere / "image?offset=7").read_bytes() == (tmp_path / "image").read_bytes()


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="NOT RUN: needs a tmpfs at /dev/shm")
def test_the_bytes_do_not_depend_on_the_file_system_of_the_scratch_directory(tmp_path: Path, spool: Spool) -> None:
    tree = everything(spool)
    pack_ext4(tree, spool, tmp_path / "image")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        pack_ext4(tree, spool, Path(directory, "image"))
        assert Path(directory, "image").read_bytes() == (tmp_path / "image").read_bytes()


def test_nothing_of_this_machine_is_in_the_disk(tmp_path: Path, spool: Spool) -> None:
    pack_ext4(tree_of(file=filled(spool, 9)), spool, tmp_path / "image", replace(OPTIONS, epoch=0))
    data = (tmp_path / "image").read_bytes()
    now = int(time.time())
    recent = {(now - age).to_bytes(4, "little") for age in range(120)}
    words = {data[at : at + 4] for at in range(0, len(data), 4)}
    assert words & recent == set()
    assert b"staging" not in data
    assert os.fsencode(tmp_path.name) not in data
