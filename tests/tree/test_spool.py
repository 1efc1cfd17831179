"""Content in one file: what goes in comes out, holes stay holes."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from builder.tree.nodes import EMPTY, Content
from builder.tree.runs import ALIGNMENT
from builder.tree.spool import Spool, open_spool


def stored(spool: Spool, content: Content) -> bytes:
    return os.pread(spool.fd, content.size, content.offset)


def test_what_goes_in_comes_out(spool: Spool) -> None:
    data = [b"a", b"b" * 4096, b"c" * 4097, bytes(range(256)) * 100, random.Random(1).randbytes(3 << 20), b"d"]
    contents = [spool.keep(each) for each in data]
    assert [stored(spool, content) for content in contents] == data
    assert [spool.read(content) for content in contents] == data


def test_content_starts_on_a_page(spool: Spool) -> None:
    contents = [spool.keep(b"x" * size) for size in (1, 4096, 4097, 5)]
    assert [content.offset for content in contents] == [0, 4096, 8192, 16384]
    assert ALIGNMENT == 4096


def test_nothing_takes_no_room(spool: Spool) -> None:
    assert spool.add(0, []) is EMPTY
    assert os.fstat(spool.fd).st_size == 0
    assert list(spool.data(EMPTY)) == []


def test_small_contents_are_written_together(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def noted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*given: Any) -> Any:
            calls.append(name)
            return call(*given)

        return noting

    for name in ("pwrite", "lseek", "ftruncate", "pread"):
        monkeypatch.setattr(os, name, noted(name, getattr(os, name)))
    contents = [spool.keep(b"%d" % number) for number in range(1000)]
    stretches = [list(spool.data(content)) for content in contents]
    assert stretches == [[(4096 * number, len(str(number)))] for number in range(1000)]
    assert set(calls) == {"pwrite"}
    assert len(calls) == -(-1000 * 4096 // (1 << 18))


def test_what_is_zeros_is_no_data_and_not_written(spool: Spool) -> None:
    first = spool.keep(b"before....")
    pieces = [(65536, b"x" * 4096), (135168, b"y" * 8192), (200000, bytes(100000))]
    holes = spool.add(1 << 20, pieces)
    after = spool.keep(b"after")
    start = holes.offset
    assert list(spool.data(holes)) == [(start + 65536, 4096), (start + 135168, 8192)]
    assert list(spool.data(first)) == [(0, 10)]
    assert list(spool.data(after)) == [(after.offset, 5)]
    assert spool.read(holes) == bytes(65536) + b"x" * 4096 + bytes(65536) + b"y" * 8192 + bytes((1 << 20) - 143360)
    assert os.fstat(spool.fd).st_blocks * 512 < 65536


def test_zeros_are_found_however_they_come(spool: Spool) -> None:
    """Blocks of zeros count from the content's own beginning, wherever its pieces are cut."""
    noise = random.Random(2)
    for _ in range(200):
        blocks = [noise.choice([bytes(4096), bytes(4095) + b"x", b"\0" + b"y" * 4095]) for _ in range(20)]
        data = b"".join(blocks)[: noise.randrange(1, 20 * 4096)]
        cuts = sorted({0, len(data), *(noise.randrange(len(data)) for _ in range(noise.randrange(5)))})
        parts = [(start, data[start:end]) for start, end in pairwise(cuts)]
        content = spool.add(len(data), [(start, part) for start, part in parts if any(part)])
        found = {
            (start - content.offset) // 4096 + n for start, size in spool.data(content) for n in range(-(-size // 4096))
        }
        assert found == {at // 4096 for at in range(0, len(data), 4096) if any(data[at : at + 4096])}
        assert spool.read(content) == data


def test_data_is_found_in_any_order_and_while_the_spool_grows(spool: Spool) -> None:
    first = spool.keep(b"x" * 4096)
    assert list(spool.data(first)) == [(0, 4096)]
    second = spool.add(12288, [(4096, b"y" * 4096)])
    third = spool.keep(b"z" * 9)
    assert list(spool.data(third)) == [(third.offset, 9)]
    assert list(spool.data(second)) == [(second.offset + 4096, 4096)]
    assert list(spool.data(first)) == [(0, 4096)]
    both = zip(spool.data(Content(0, 12288)), spool.data(Content(0, 16384)), strict=True)
    assert list(both) == [((0, 4096), (0, 4096)), ((8192, 4096), (8192, 4096))]


def test_content_that_is_one_hole_has_no_data(spool: Spool) -> None:
    content = spool.add(1 << 30, [])
    assert list(spool.data(content)) == []
    assert os.fstat(spool.fd).st_blocks == 0
    assert spool.read_at(content.offset + (1 << 30) - 5, 5) == bytes(5)


def test_content_longer_than_announced_or_out_of_order_is_not_taken(spool: Spool) -> None:
    with pytest.raises(ValueError, match="3 bytes longer than the 2 announced"):
        spool.add(2, [(0, b"12345")])
    with pytest.raises(ValueError, match="goes back from byte 5 to 4"):
        spool.add(10, [(0, b"12345"), (4, b"12345")])


def test_a_full_disk_is_an_os_error_and_what_could_not_be_written_may_be_once_more(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left = os.pwrite, [4096]

    def pwrite(fd: int, data: memoryview, position: int) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = real(fd, data[: left[0]], position)
        left[0] -= written
        return written

    content = spool.add(5 * 4096, [(0, b"x" * 4096), (8192, b"y" * 8192)])
    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.raises(OSError, match="No space left"):
        spool.settle()
    left[0] = 1 << 20
    spool.settle()
    assert list(spool.data(content)) == [(0, 4096), (8192, 8192)]
    assert spool.read(content) == b"x" * 4096 + bytes(4096) + b"y" * 8192 + bytes(4096)


def test_a_spool_leaves_no_file_behind(tmp_path: Path) -> None:
    with open_spool(tmp_path) as spool:
        spool.keep(b"123")
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
    somewhere.keep(b"." * 100)
    content = somewhere.add((5 << 20) + 7, [(1 << 20, b"x" * (2 << 20)), (4 << 20, b"y" * 10)])
    fd = os.open(tmp_path / "copy", os.O_RDWR | os.O_CREAT)
    try:
        somewhere.copy(content, fd)
        data = bytes(1 << 20) + b"x" * (2 << 20) + bytes(1 << 20) + b"y" * 10
        assert (tmp_path / "copy").read_bytes() == data.ljust((5 << 20) + 7, b"\0")
        assert os.lseek(fd, 0, os.SEEK_DATA) == 1 << 20
        assert os.lseek(fd, 1 << 20, os.SEEK_HOLE) == 3 << 20
    finally:
        os.close(fd)
