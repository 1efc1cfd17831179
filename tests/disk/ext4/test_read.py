"""Our reader of ext4 finds what the kernel finds, on our disks and on everybody's."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from support.disks import filled, pack_ext4, tree_of
from support.everything import everything
from support.mounts import mounted
from support.populated import populate
from support.readers import read
from support.trees import differences, expected, scan

from builder.disk.ext4.read import Ext4Reader
from builder.disk.reading import Volume, walk
from builder.tool import find_tool
from builder.tree.nodes import Directory, File
from builder.tree.spool import Spool


def test_everything_that_a_tree_can_hold_is_read(tmp_path: Path, spool: Spool) -> None:
    tree = everything(spool)
    pack_ext4(tree, spool, tmp_path / "image")
    assert differences(read("ext4", tmp_path / "image"), expected(tree, spool)) == []


@pytest.mark.heavy
def test_hash_trees_are_read_like_other_directories(tmp_path: Path, spool: Spool) -> None:
    tree = tree_of(many=Directory(children={b"%05d" % number + b"n" * 200: File() for number in range(4000)}))
    pack_ext4(tree, spool, tmp_path / "image")
    assert differences(read("ext4", tmp_path / "image"), expected(tree, spool)) == []


def test_a_tree_of_extents_is_read(tmp_path: Path, spool: Spool) -> None:
    """Stretches with holes between them: far more extents than an inode has room for."""
    scattered = [(number * 8192, b"%4096d" % number) for number in range(1000)]
    tree = tree_of(scattered=File(content=spool.add(1000 * 8192, scattered)), last=filled(spool, 5000))
    pack_ext4(tree, spool, tmp_path / "image")
    assert differences(read("ext4", tmp_path / "image"), expected(tree, spool)) == []


def test_of_a_file_with_fs_verity_the_flag_is_seen_and_not_where_ext4_keeps_its_descriptor(tmp_path: Path) -> None:
    """As the kernel leaves it: an attribute `v` of a prefix that it lists to nobody. Others of the file are seen."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root/file").write_bytes(b"content")
    image, commands = tmp_path / "image", tmp_path / "commands"
    made = ["-q", "-t", "ext4", "-I", "256", "-O", "verity,^metadata_csum,^has_journal", "-d"]
    subprocess.run([find_tool("mke2fs"), *made, tmp_path / "root", image, "1M"], check=True, capture_output=True)
    # The flags: extents, and verity.
    commands.write_text("ea_set file user.seen yes\nea_set file user.v of-verity\nsif file flags 0x180000\n")
    subprocess.run([find_tool("debugfs"), "-w", "-f", commands, image], check=True, capture_output=True)
    with image.open("r+b", buffering=0) as disk:
        # A name of one byte, its prefix; where its value is and how long.
        entry = re.compile(rb"\x01\x01..\0\0\0\0\x09\0\0\0....v\0\0\0", re.DOTALL).search(disk.read())
        assert entry is not None
        disk.seek(entry.start() + 1)
        disk.write(b"\x0b")
        (file,) = (found.inode for found in walk(Ext4Reader(Volume.of(disk.fileno()))) if found.path == b"file")
        assert (file.flags, dict(file.xattrs)) == (("verity",), {b"user.seen": b"yes"})
        assert list(file.data()) == [(0, b"content")]


FORMS = {
    "ext2": ["-t", "ext2", "-b", "1024"],
    "ext3": ["-t", "ext3", "-b", "1024", "-I", "128"],
    "ext3 of large blocks": ["-t", "ext3", "-b", "4096"],
    "ext4": ["-t", "ext4"],
    "ext4 of small blocks": ["-t", "ext4", "-b", "1024", "-N", "1000"],
    "inline data": ["-t", "ext4", "-O", "inline_data", "-I", "512"],
    "no checksums": ["-t", "ext4", "-O", "^metadata_csum,^64bit"],
    "own seed": ["-t", "ext4", "-O", "metadata_csum_seed"],
    "meta groups": ["-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode,^flex_bg", "-g", "512"],
    "clusters": ["-t", "ext4", "-O", "bigalloc", "-C", "16384"],
    "two backups": ["-t", "ext4", "-O", "sparse_super2"],
    "no file types": ["-t", "ext4", "-O", "^filetype,^dir_index"],
}


@pytest.mark.root
@pytest.mark.parametrize("form", FORMS)
def test_what_others_make_is_read_as_the_kernel_reads_it(tmp_path: Path, form: str) -> None:
    root, image = tmp_path / "root", tmp_path / "image"
    root.mkdir()
    populate(root)
    subprocess.run(
        [find_tool("mke2fs"), "-q", *FORMS[form], "-d", root, image, "24M"],
        check=True,
        capture_output=True,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    )
    with mounted(image) as there:
        wanted = scan(there)
    wanted.pop(b"lost+found")
    found = read("ext4", image)
    # It counts for the root, whoever made it.
    assert found[b"."].links == wanted[b"."].links
    assert differences(found, wanted) == []


@pytest.mark.root
def test_what_the_kernel_wrote_is_read_as_it_reads_it(tmp_path: Path) -> None:
    image = tmp_path / "image"
    subprocess.run(
        [find_tool("mke2fs"), "-q", "-t", "ext4", "-O", "ea_inode,large_dir,inline_data", image, "24M"],
        check=True,
        capture_output=True,
    )
    with mounted(image, "rw") as there:
        populate(there)
        os.setxattr(there / "large", "user.of its own inode", b"V" * 30_000)
        for number in range(0, 300, 2):
            (there / "sub" / f"{'long' * 20}{number}").unlink()
        os.truncate(there / "large", 2_000_000)
        with (there / "reserved").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, 100_000)
            file.write(b"at the beginning")
    with mounted(image) as there:
        wanted = scan(there)
    wanted.pop(b"lost+found")
    assert differences(read("ext4", image), wanted) == []
