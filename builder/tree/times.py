"""SOURCE_DATE_EPOCH (reproducible-builds.org/specs/source-date-epoch): nothing in the tree is younger."""

from __future__ import annotations

from builder.tree.tree import Tree

NANOSECONDS = 1_000_000_000


def clamp_times(tree: Tree, epoch: int) -> None:
    """Set every modification time after `epoch`, in seconds since 1970, to it; older ones stay."""
    latest = epoch * NANOSECONDS
    for node in tree.nodes():
        if node.mtime_ns > latest:
            node.mtime_ns = latest
