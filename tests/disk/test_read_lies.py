"""Disks that lie: readers end soon, with one of our errors or with what is there, whatever the bytes say."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import pytest

from builder.disk import reading
from builder.disk.reading import DiskMalformed, Entry, gathered, type_of, walk
from builder.tree.found import Inode


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
        # A number that stands for no type.
        ([Entry(b"a", 200, type_of(8))], "'/a': is of another type than its directory says"),
        ([Entry(b".", 1, 0o100000)], "'/': its entry '.': is said to be no directory"),
        ([Entry(b"..", 1, type_of(255))], "'/': its entry '..': is said to be no directory"),
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


class Branching(Odd):
    """A reader of directories of three names each, of which the first is the next of them; it counts those read."""

    read = 0

    def inode(self, number: int) -> Inode:
        return Inode(number, 0o100644 if number == 0 else 0o040755, 2, 0, 0, 0)

    def entries(self, directory: Inode) -> Iterator[Entry]:
        self.read += 1
        return iter([Entry(b"a", directory.number + 1), Entry(b"b", 0), Entry(b"c", 0)])


def test_names_that_wait_on_the_way_down_count_too() -> None:
    """They are in memory, of each directory all of them."""
    reader = Branching()
    with pytest.raises(DiskMalformed, match="has more names than --max-entries allows"):
        for _ in walk(reader, max_entries=30):
            pass
    assert reader.read == 11


class Laden(Odd):
    """A reader of inodes that all have the same large attributes."""

    def inode(self, number: int) -> Inode:
        return Inode(number, 0o040755 if number == 1 else 0o100644, 2, 0, 0, 0, {b"user.large": LARGE})


LARGE = bytes(1 << 20)


def test_attributes_of_all_names_have_a_bound() -> None:
    entries = [Entry(b"%04d" % number, 200 + number) for number in range(2000)]
    names = walk(Laden(*entries))
    assert len(list(islice(names, 1 + 1023))) == 1024
    with pytest.raises(DiskMalformed, match=r"^the tree: has more than 1 GiB of extended attributes$"):
        next(names)


def test_attributes_of_a_file_count_once_however_many_names_it_has() -> None:
    entries = [Entry(b"%04d" % number, 200) for number in range(2000)]
    found = list(walk(Laden(*entries)))
    assert len(found) == 2001
    assert all(each.inode is found[1].inode for each in found[1:])


def test_what_is_kept_of_files_with_several_names_counts_with_what_an_inode_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Small(Odd):
        read = 0

        def inode(self, number: int) -> Inode:
            self.read += 1
            return Inode(number, 0o040755 if number == 1 else 0o100644, 2, 0, 0, 0, {b"user.a": b"1"})

    monkeypatch.setattr(reading, "_MOST_KEPT", 10 << 10)
    reader = Small(*(Entry(b"%04d" % number, 200 + number % 1000) for number in range(2000)))
    assert len(list(walk(reader))) == 2001
    # 512 and 71 bytes each.
    assert 2001 - reader.read == 17


def test_attributes_of_an_inode_have_a_bound() -> None:
    values = iter([(b"user.%d" % number, LARGE) for number in range(20)])
    with pytest.raises(DiskMalformed, match=r"^inode 7: has more than 16 MiB of extended attributes$"):
        gathered(values, "inode 7")
    assert len(list(values)) == 4
