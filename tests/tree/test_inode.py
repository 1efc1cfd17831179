"""What Linux can hold is kept as it is, and what it cannot is refused."""

from __future__ import annotations

from typing import Any

import pytest
from support.entries import (
    block,
    character,
    directory,
    fifo,
    file,
    merged,
    node,
    refusal,
    symlink,
)
from support.trees import listing

from builder.linux import MAX_ID


def test_owners_go_up_to_the_largest_id() -> None:
    tree = merged([file("a", uid=MAX_ID, gid=MAX_ID)])
    assert (node(tree, "a").uid, node(tree, "a").gid) == (4294967294, 4294967294)


@pytest.mark.parametrize("header", [{"uid": MAX_ID + 1}, {"gid": MAX_ID + 1}, {"uid": -1}, {"gid": -1}])
@pytest.mark.parametrize("make", [file, directory, fifo])
def test_owners_out_of_range_are_refused(make: Any, header: dict[str, int]) -> None:
    assert "is not between 0 and 4294967294" in refusal([make("a", **header)])


@pytest.mark.parametrize(("major", "minor"), [(4096, 0), (0, 2**20), (-1, 0), (0, -1)])
@pytest.mark.parametrize("make", [character, block])
def test_devices_out_of_range_are_refused(make: Any, major: int, minor: int) -> None:
    assert refusal([make("a", major, minor)]) == (
        f"is a device {major}:{minor}, and Linux has none beyond 4095:1048575"
    )


def test_symlink_targets_have_up_to_4095_bytes() -> None:
    assert listing(merged([symlink("a", "t" * 4095)])) == ["a -> " + "t" * 4095]
    assert refusal([symlink("a", "t" * 4096)]) == "is a symlink with a target of more than 4095 bytes"
    assert refusal([symlink("a", "")]) == "is a symlink to nothing"
    assert refusal([symlink("a", "b\0c")]) == "is a symlink with a NUL byte in its target"
