"""What is in a tree, in few words: how much, how much that nobody can see any more, and what is largest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from builder.tree.sums import Branch, Sums
from builder.tree.tree import Tree

# Enough for a map of a disk, and short: what is kept with it has to fit into an extended attribute.
_NAMED = (120, 60, 30, 15)
_LEVELS = 6
_LONGEST = 6000

# What a file system can count; what is read again came from elsewhere, and may say anything.
Count = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]


@dataclass(frozen=True, slots=True)
class Contents:
    """Bytes of content in a tree, and files that have any; and the bytes that its layers brought, seen or not.

    `largest` has the bytes of the largest directories, which end in `/`, and files, by path, parents first and the
    larger first. Bytes of names that are no UTF-8 are surrogates, as in Python's own file names (PEP 383). Of very long
    names it has fewer, or none.
    """

    size: Count
    files: Count
    brought: Count
    largest: dict[str, Count]

    @property
    def wasted(self) -> int:
        """The bytes that layers brought and upper layers took away."""
        return max(self.brought - self.size, 0)


def contents(tree: Tree) -> Contents:
    """Sum up a tree; memory grows with the number of its directories and files."""
    sums = Sums(tree)
    for most in _NAMED:
        named = _paths(sums.largest(most, _LEVELS))
        if sum(map(len, named)) <= _LONGEST:
            break
    else:
        named = {}
    return Contents(sums.total.size, sums.total.files, tree.brought, named)


def _paths(root: Branch) -> dict[str, int]:
    named: dict[str, int] = {}
    stack: list[tuple[str, Branch]] = [("", child) for child in reversed(root.children)]
    while stack:
        above, branch = stack.pop()
        path = above + "/" + branch.name.decode("utf-8", "surrogateescape")
        named[path + "/" if branch.directory else path] = branch.size
        stack += ((path, child) for child in reversed(branch.children))
    return named
