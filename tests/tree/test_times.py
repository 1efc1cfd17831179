"""SOURCE_DATE_EPOCH clamps times and changes nothing else."""

from __future__ import annotations

from support.entries import directory, file, hardlink, merged, node, symlink
from support.trees import paths

from builder.tree.tree import Tree

SECOND = 1_000_000_000


def times(tree: Tree) -> dict[str, int]:
    return {path: node(tree, path.rstrip("/")).mtime_ns for path in paths(tree)}


def test_younger_times_become_the_epoch_and_older_ones_stay() -> None:
    tree = merged(
        [
            directory("./", mtime_ns=200 * SECOND),
            directory("d", mtime_ns=100 * SECOND + 1),
            file("d/at", 1, mtime_ns=100 * SECOND),
            file("d/before", 1, mtime_ns=100 * SECOND - 1),
            symlink("d/far", "x", mtime_ns=2**40 * SECOND),
            file("d/old", 1, mtime_ns=-SECOND),
            hardlink("link", "d/old"),
        ]
    )
    tree.clamp_times(100)
    assert tree.root.mtime_ns == 100 * SECOND
    assert times(tree) == {
        "d/": 100 * SECOND,
        "d/at": 100 * SECOND,
        "d/before": 100 * SECOND - 1,
        "d/far": 100 * SECOND,
        "d/old": -SECOND,
        "link": -SECOND,
    }


def test_the_epoch_may_be_the_epoch() -> None:
    tree = merged([file("a", mtime_ns=1)])
    tree.clamp_times(0)
    assert times(tree) == {"a": 0}
