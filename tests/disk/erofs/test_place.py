"""Inodes side by side in blocks."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from builder.disk.erofs.layout import BLOCK, INODE_SIZE, SLOT
from builder.disk.erofs.place import MOST_BEHIND, Places, behind

START = 7 * BLOCK
WANTED = st.lists(st.integers(INODE_SIZE, 3 * BLOCK))


def stretch(position: int, size: int) -> tuple[int, int]:
    return position, position + size


@given(WANTED)
def test_no_two_inodes_share_a_byte_and_all_are_within_the_end(wanted: list[int]) -> None:
    places = Places(START)
    taken = sorted(stretch(places.take(each), each) for each in wanted)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(taken))
    assert all(start >= START and end <= places.end for start, end in taken)
    assert all(start % SLOT == 0 for start, _ in taken)
    assert places.end % BLOCK == 0


@given(WANTED)
def test_what_fits_into_a_block_never_crosses_into_the_next(wanted: list[int]) -> None:
    places = Places(START)
    for each in wanted:
        start, end = stretch(places.take(each), each)
        if end - start <= BLOCK:
            assert start // BLOCK == (end - 1) // BLOCK
        else:
            assert start % BLOCK == 0


def test_the_last_block_of_data_stands_behind_its_inode_only_if_both_fit_into_a_block() -> None:
    sizes = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + MOST_BEHIND, 2 * BLOCK + MOST_BEHIND + 1]
    assert [behind(0, size) for size in sizes] == [0, 1, 0, 0, 1, MOST_BEHIND, 0]
    assert behind(1000, BLOCK + 3032) == 3032
    assert behind(1000, BLOCK + 3033) == 0
    assert behind(2 * BLOCK, 1) == 0


def test_the_shortest_stretch_that_is_long_enough_is_taken() -> None:
    places = Places(0)
    places.take(1064)
    places.take(3564)
    assert places.take(264) == BLOCK + 3584
    assert places.take(264) == 1088
    assert places.end == 2 * BLOCK
