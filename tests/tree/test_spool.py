"""Content in one file: what goes in comes out, holes stay holes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builder.tree.nodes import EMPTY, Content
from builder.tree.spool import ALIGNMENT, Spool, open_spool


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with open_spool(tmp_path) as opened:
        yield opened


def writing(data: bytes) -> Callable[[int], None]:
    def write(fd: int) -> None:
        assert os.write(fd, data) == len(data)

    return write


def skipping(*stretches: bytes | int) -> Callable[[int], None]:
    """Write the bytes and skip the numbers."""

    def write(fd: int) -> None:
        for stretch in stretches:
            if isinstance(stretch, int):
                os.lseek(fd, stretch, os.SEEK_CUR)
            else:
                os.write(fd, stretch)

    return write


def stored(spool: Spool, content: Content) -> bytes:
    return os.pread(spool.fd, content.size, content.offset)


def test_what_goes_in_comes_out(spool: Spool) -> None:
    data = [b"a", b"b" * 4096, b"c" * 4097, bytes(range(256)) * 100]
    contents = [spool.add(len(each), writing(each)) for each in data]
    assert [stored(spool, content) for content in contents] == data


def test_content_starts_on_a_page(spool: Spool) -> None:
    contents = [spool.add(size, writing(b"x" * size)) for size in (1, 4096, 4097, 5)]
    assert [content.offset for content in contents] == [0, 4096, 8192, 16384]
    assert ALIGNMENT == 4096


def test_nothing_takes_no_room(spool: Spool) -> None:
    assert spool.add(0, writing(b"")) is EMPTY
    assert os.fstat(spool.fd).st_size == 0
    assert list(spool.data(EMPTY)) == []


def test_holes_are_not_data(spool: Spool) -> None:
    first = spool.add(10, writing(b"before...."))
    holes = spool.add(1 << 20, skipping(65536, b"x" * 4096, 65536, b"y" * 8192, 1))
    after = spool.add(5, writing(b"after"))
    start = holes.offset
    assert list(spool.data(holes)) == [(start + 65536, 4096), (start + 135168, 8192)]
    assert list(spool.data(first)) == [(0, 10)]
    assert list(spool.data(after)) == [(after.offset, 5)]


def test_data_is_found_in_any_order_and_while_the_spool_grows(spool: Spool) -> None:
    first = spool.add(4096, writing(b"x" * 4096))
    assert list(spool.data(first)) == [(0, 4096)]
    second = spool.add(12288, skipping(4096, b"y" * 4096, 4096))
    third = spool.add(9, writing(b"z" * 9))
    assert list(spool.data(third)) == [(third.offset, 9)]
    assert list(spool.data(second)) == [(second.offset + 4096, 4096)]
    assert list(spool.data(first)) == [(0, 4096)]
    both = zip(spool.data(Content(0, 12288)), spool.data(Content(0, 16384)), strict=True)
    assert list(both) == [((0, 4096), (0, 4096)), ((8192, 4096), (8192, 4096))]


def test_content_that_is_one_hole_has_no_data(spool: Spool) -> None:
    content = spool.add(1 << 30, skipping(1 << 30))
    assert list(spool.data(content)) == []
    assert os.fstat(spool.fd).st_blocks == 0


def test_content_longer_than_announced_is_not_taken(spool: Spool) -> None:
    with pytest.raises(ValueError, match="3 bytes longer than the 2 announced"):
        spool.add(2, writing(b"12345"))


def test_an_unreadable_spool_is_not_one_without_data(spool: Spool) -> None:
    content = spool.add(5, writing(b"12345"))
    with pytest.raises(OSError, match="Bad file descriptor"):
        list(Spool(-1).data(content))


def test_a_spool_leaves_no_file_behind(tmp_path: Path) -> None:
    with open_spool(tmp_path) as spool:
        spool.add(3, writing(b"123"))
        assert os.listdir(tmp_path) == []


@pytest.fixture(params=["same file system", "another file system"])
def somewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Spool]:
    # A memory file is on a file system of its own, where the kernel does not copy between the two.
    if request.param == "same file system":
        with open_spool(tmp_path) as opened:
            yield opened
    else:
        fd = os.memfd_create("spool")
        yield Spool(fd)
        os.close(fd)


def test_a_copy_has_the_bytes_and_the_holes(somewhere: Spool, tmp_path: Path) -> None:
    somewhere.add(100, writing(b"." * 100))
    content = somewhere.add((5 << 20) + 7, skipping(1 << 20, b"x" * (2 << 20), 1 << 20, b"y" * 10))
    fd = os.open(tmp_path / "copy", os.O_RDWR | os.O_CREAT)
    try:
        somewhere.copy(content, fd)
        data = bytes(1 << 20) + b"x" * (2 << 20) + bytes(1 << 20) + b"y" * 10
        assert (tmp_path / "copy").read_bytes() == data.ljust((5 << 20) + 7, b"\0")
        assert os.lseek(fd, 0, os.SEEK_DATA) == 1 << 20
        assert os.lseek(fd, 1 << 20, os.SEEK_HOLE) == 3 << 20
    finally:
        os.close(fd)
