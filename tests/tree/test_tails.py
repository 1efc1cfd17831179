"""Last blocks apart from whole ones: whoever reads the spool finds what was put in, at the same positions as ever."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.tree.nodes import Content
from builder.tree.runs import ALIGNMENT
from builder.tree.spool import Lent, Spool
from builder.tree.tails import Tails

MOST = 3000
SIZES = st.one_of(st.sampled_from([0, 1, MOST, MOST + 1, 4095, 4096, 4097, 8192 + MOST]), st.integers(0, 20_000))
# Of a content: its size, where in it zeros begin, and where they end.
CONTENTS = st.lists(st.tuples(SIZES, st.integers(0, 20_000), st.integers(0, 20_000)), max_size=12)


@contextmanager
def spools() -> Iterator[tuple[Spool, Spool]]:
    """One spool that keeps all last blocks with the others, and one that keeps them apart."""
    fds = [os.memfd_create("spool") for _ in range(3)]
    try:
        yield Spool(fds[0]), Spool(fds[1], tails=Tails(fds[2], MOST))
    finally:
        for fd in fds:
            os.close(fd)


def made(size: int, begin: int, end: int) -> bytes:
    data = random.Random(size + 1).randbytes(size)
    return data[:begin] + bytes(max(0, min(end, size) - begin)) + data[max(begin, end) :] if begin < size else data


def pieces(data: bytes) -> list[tuple[int, bytes]]:
    """Cut at odd places; what is zeros is left out."""
    cuts = sorted({0, len(data), *(at for at in (1, 4000, 4096, 5000, 8192, 12_000) if at < len(data))})
    return [(start, data[start:end]) for start, end in pairwise(cuts) if any(data[start:end])]


def copied(spool: Spool, content: Content) -> bytes:
    fd = os.memfd_create("copy")
    try:
        spool.copy(content, fd)
        return os.pread(fd, content.size + 1, 0)
    finally:
        os.close(fd)


def test_whole_blocks_are_next_to_each_other_and_last_blocks_are_dense() -> None:
    with spools() as (_, apart):
        sizes = [5, 4096, 8192 + 7, 4095, 3, 4096 + MOST, 4096 + MOST + 1]
        contents = [apart.keep(b"%d" % (number % 10) * size) for number, size in enumerate(sizes)]
        apart.settle()
        places = [list(apart.parts(content.offset, content.size)) for content in contents]
        own, other = apart.fd, places[0][0][0]
        assert other != own
        assert places == [
            [(other, 0, 5)],
            [(own, 0, 4096)],
            [(own, 4096, 8192), (other, 5, 7)],
            [(own, 12288, 4095)],
            [(other, 12, 3)],
            [(own, 16384, 4096), (other, 15, MOST)],
            [(own, 20480, 4096 + MOST + 1)],
        ]
        assert (os.fstat(own).st_size, os.fstat(other).st_size) == (7 * 4096, 4096)


@pytest.mark.heavy
@settings(max_examples=50, deadline=None, database=None)
@given(CONTENTS, CONTENTS, CONTENTS)
def test_contents_are_the_same_with_and_without(
    before: list[tuple[int, int, int]], lent: list[tuple[int, int, int]], behind: list[tuple[int, int, int]]
) -> None:
    with spools() as (plain, apart), spools() as (layer, _):
        known: list[tuple[Content, bytes]] = []

        def add(facts: list[tuple[int, int, int]]) -> None:
            for each in facts:
                data = made(*each)
                content = plain.add(len(data), pieces(data))
                assert apart.add(len(data), pieces(data)) == content
                known.append((content, data))
            apart.settle()

        add(before)
        inside = [(layer.add(len(data), pieces(data)), data) for data in (made(*each) for each in lent)]
        for spool in (plain, apart):
            start = spool.borrow(Lent(os.dup(layer.fd), layer.end, layer.runs))
        known += [(Content(start + content.offset, content.size), data) for content, data in inside if content.size]
        add(behind)
        for content, data in known:
            assert apart.read(content) == plain.read(content) == data
            assert copied(apart, content) == data
            stretches = list(apart.data(content))
            assert all(one[0] + one[1] <= other[0] for one, other in pairwise(stretches))
            assert all(length for _, length in stretches)
            rest = bytearray(data)
            for position, length in stretches:
                at = position - content.offset
                assert at % ALIGNMENT == 0
                rest[at : at + length] = bytes(length)
            assert not any(rest)
        assert apart.end == plain.end
        for spool in (plain, apart):
            spool.close()
