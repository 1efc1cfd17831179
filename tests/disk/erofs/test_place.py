"""Inodes side by side in blocks."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from builder.disk.erofs.layout import BLOCK, INODE_SIZE, SLOT
from builder.disk.erofs.place import Places, is_inline

START = 7 * BLOCK
WANTED = st.lists(st.tuples(st.integers(0, 3000).map(lambda words: 4 * words), st.integers(0, BLOCK - 1)))


def stretch(position: int, xattr_size: int, tail: int) -> tuple[int, int]:
    return position, position + INODE_SIZE + xattr_size + (tail if is_inline(xattr_size, tail) else 0)


@given(WANTED)
def test_no_two_inodes_share_a_byte_and_all_are_within_the_end(wanted: list[tuple[int, int]]) -> None:
    places = Places(START)
    taken = sorted(stretch(places.take(*each), *each) for each in wanted)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(taken))
    assert all(start >= START and end <= places.end for start, end in taken)
    assert all(start % SLOT == 0 for start, _ in taken)
    assert places.end % BLOCK == 0


@given(WANTED)
def test_what_fits_into_a_block_never_crosses_into_the_next(wanted: list[tuple[int, int]]) -> None:
    places = Places(START)
    for each in wanted:
        start, end = stretch(places.take(*each), *each)
        if end - start <= BLOCK:
            assert start // BLOCK == (end - 1) // BLOCK
        else:
            assert start % BLOCK == 0


def test_the_last_block_of_data_stands_behind_its_inode_only_if_both_fit_into_a_block() -> None:
    room = BLOCK - INODE_SIZE
    assert is_inline(0, room)
    assert not is_inline(0, room + 1)
    assert is_inline(16, room - 16)
    assert not is_inline(16, room - 12)
    assert not is_inline(0, 0)


def test_the_shortest_stretch_that_is_long_enough_is_taken() -> None:
    places = Places(0)
    places.take(0, 1000)
    places.take(0, 3500)
    assert places.take(0, 200) == BLOCK + 3584
    assert places.take(0, 200) == 1088
    assert places.end == 2 * BLOCK
