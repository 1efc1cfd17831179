"""What is where in an erofs image, besides what mkfs.erofs put there."""

from __future__ import annotations

import tracemalloc
from collections import deque
from itertools import pairwise

import pytest

from builder.disk.erofs.arrange import arrange
from builder.disk.erofs.layout import BLOCK
from builder.disk.erofs.plan import Plan
from builder.disk.filesystem import rounded_up
from builder.errors import BuilderError
from builder.tree.nodes import Content, Directory, Fifo, File, Node, Symlink

END = 3 * BLOCK


def planned(*nodes: Node) -> Plan:
    return Plan(Directory(), [], list(nodes), {})


def test_whole_blocks_of_files_follow_each_other_as_they_came_then_inodes_then_all_else() -> None:
    names: dict[bytes, Node] = {b"%0250d" % number: Fifo() for number in range(20)}
    late = File(content=Content(5 * BLOCK, BLOCK + 10))
    early = File(content=Content(0, 4 * BLOCK + 4000))
    small = File(content=Content(8 * BLOCK, 10))
    wide = File(content=Content(9 * BLOCK, 3100), xattrs={b"user.x": bytes(1000)})
    link = Symlink(target=b"t" * 4000)
    found = arrange(planned(late, Directory(children=names), early, small, link, wide), END)
    assert found.bodies == [2, 0, 5]
    assert [found.tails[place] for place in (0, 2, 3, 4, 5)] == [10, 0, 10, 0, 0]
    assert [found.data[place] for place in (2, 0, 5, 3)] == [END, END + 5 * BLOCK, END + 6 * BLOCK, 0]
    assert found.inodes == END + 7 * BLOCK
    assert all(found.inodes <= position < found.root for position in found.positions)
    # First the root's own entries.
    assert [found.data[1], found.data[4]] == [found.root + BLOCK, found.end - BLOCK]


def test_no_two_bodies_share_a_byte_and_none_is_unused() -> None:
    files = [File(content=Content(BLOCK * 10 * number, 997 * number)) for number in range(40)]
    found = arrange(planned(*files), END)
    stretches = sorted(
        (found.data[place], found.data[place] + rounded_up(file.content.size - found.tails[place]))
        for place, file in enumerate(files)
        if file.content.size > found.tails[place]
    )
    assert all(before[1] == after[0] for before, after in pairwise(stretches))
    assert (stretches[0][0], stretches[-1][1]) == (END, found.inodes)


def test_inodes_come_in_the_order_in_which_they_stand_and_that_takes_little_memory() -> None:
    count = 40_000
    # Large ones, and small ones that go where blocks have room left.
    found = arrange(planned(*(Symlink(target=b"t" * (number * 997 % 3000)) for number in range(count))), END)
    assert found.positions.tolist() != sorted(found.positions)
    assert [found.positions[place] for place in found.in_order()] == sorted(found.positions)
    tracemalloc.start()
    try:
        deque(found.in_order(), maxlen=0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * count


def test_what_has_no_address_is_refused() -> None:
    huge = [File(content=Content(number << 43, 1 << 43)) for number in range(2)]
    with pytest.raises(BuilderError, match="more than 16 TiB, holes included: build it as ext4"):
        arrange(planned(*huge), END)
