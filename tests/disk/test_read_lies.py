"""Disks that lie: readers end soon, with one of our errors or with what is there, whatever the bytes say."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
from support.disks import OPTIONS, tree_of
from support.everything import everything
from support.flips import exhaust, flipped, without_checksums
from support.populated import populate

from builder.disk import FILESYSTEMS
from builder.disk.erofs.features import installed_features
from builder.disk.filesystem import Compression, DiskOptions
from builder.disk.reading import DiskMalformed, Entry, walk
from builder.events import ignore
from builder.tool import find_tool
from builder.tree.found import Inode
from builder.tree.nodes import Directory, File
from builder.tree.spool import open_spool
from builder.tree.tree import Tree


class Odd:
    """A reader of directories that say anything; all of them are 1."""

    root = 1

    def __init__(self, *entries: Entry) -> None:
        self._entries = entries

    def inode(self, number: int) -> Inode:
        return Inode(number, 0o040755 if number < 100 else 0o100644, 2, 0, 0, 0)

    def entries(self, directory: Inode) -> Iterator[Entry]:
        return iter(self._entries)

    def holds(self, mtime_ns: int) -> int:
        return mtime_ns

    def is_own(self, path: bytes, inode: Inode) -> bool:
        return False


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([Entry(b"loop", 1)], "'/loop': is a directory that has another name, too"),
        ([Entry(b"a", 200), Entry(b"a", 201)], "'/': its entry 'a': is there twice"),
        ([Entry(b"a/b", 200)], "'/': its entry 'a/b': is no name that Linux knows"),
        ([Entry(b"", 200)], "'/': its entry '': is no name that Linux knows"),
        ([Entry(b"n" * 256, 200)], f"'/': its entry '{'n' * 256}': is no name that Linux knows"),
        ([Entry(b".", 2)], "'/': its entry '.': leads elsewhere"),
        ([Entry(b"..", 2)], "'/': its entry '..': leads elsewhere"),
        ([Entry(b"a", 200, 0o040000)], "'/a': is of another type than its directory says"),
        ([Entry(b"%d" % number, 200) for number in range(9)], "the tree: has more names than --max-entries allows"),
    ],
)
def test_what_is_no_tree_is_refused(entries: list[Entry], said: str) -> None:
    with pytest.raises(DiskMalformed) as caught:
        for _ in walk(Odd(*entries), max_entries=5):
            pass
    assert str(caught.value) == said


class Deep(Odd):
    """A reader of directories with long names, each below the one before."""

    def inode(self, number: int) -> Inode:
        return Inode(number, 0o040755, 2, 0, 0, 0)

    def entries(self, directory: Inode) -> Iterator[Entry]:
        return iter([Entry(b"n" * 255, directory.number + 1)])


def test_no_path_is_followed_further_than_linux_takes_one() -> None:
    names = walk(Deep())
    assert [len(name.path) for name in islice(names, 17)] == [0, *range(255, 4096, 256)]
    with pytest.raises(DiskMalformed, match="is a path of more than 4095 bytes"):
        next(names)


def make(place: Path, format: str, tree: Callable[..., Tree], options: DiskOptions = OPTIONS) -> Path:
    place.mkdir()
    with open_spool(place) as spool:
        FILESYSTEMS[format].pack(tree(spool), spool, options, place, place / "disk", ignore)
    return place / "disk"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Small disks with different structures, by format; foreign ones where root can make them."""
    place = tmp_path_factory.mktemp("corpus")

    def many(spool: object) -> Tree:
        return tree_of(many=Directory(children={b"%03d" % number + b"n" * 200: File() for number in range(100)}))

    disks = {
        "ext4": [make(place / "one", "ext4", everything), make(place / "two", "ext4", many)],
        "erofs": [make(place / "three", "erofs", everything), make(place / "four", "erofs", many)],
    }
    for number, name in enumerate(sorted(installed_features().compressors)):
        compressed = replace(OPTIONS, compress=Compression(name))
        disks["erofs"].append(make(place / f"c{number}", "erofs", everything, compressed))
    if os.geteuid() == 0:
        (place / "root").mkdir()
        populate(place / "root")
        for name, words in {"ext3": ["-t", "ext3", "-I", "128"], "inline": ["-t", "ext4", "-O", "inline_data"]}.items():
            made = [*words, "-b", "1024", "-d", str(place / "root"), str(place / name), "12M"]
            subprocess.run([find_tool("mke2fs"), "-q", *made], check=True, capture_output=True)
            disks["ext4"].append(place / name)
        # mkfs.erofs 1.5 has chunks pass through a file in /tmp, and copies them within one file system only.
        with tempfile.TemporaryDirectory(dir="/tmp") as scratch:
            made = ["--chunksize=4096", f"{scratch}/chunks", str(place / "root")]
            subprocess.run([find_tool("mkfs.erofs"), *made], check=True, capture_output=True)
            shutil.copy(f"{scratch}/chunks", place)
        disks["erofs"].append(place / "chunks")
    return disks


@pytest.mark.parametrize("format", FILESYSTEMS)
def test_changed_disks_are_read_or_refused_soon(corpus: dict[str, list[Path]], format: str) -> None:
    chosen = random.Random(20261129)
    for disk in corpus[format]:
        data = without_checksums(format, disk.read_bytes())
        fd = os.memfd_create("disk")
        try:
            os.pwrite(fd, data, 0)
            for _ in range(40):
                with flipped(fd, data, chosen):
                    started = time.process_time()
                    exhaust(FILESYSTEMS[format], fd, 64 << 20)
                    assert time.process_time() - started < 10
        finally:
            os.close(fd)
