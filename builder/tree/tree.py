"""The merged tree as a whole, and the ways to walk it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from builder.tree.nodes import Directory, Node


@dataclass(slots=True)
class Tree:
    """A root file system; `root` is its top (0755 root:root, 1970, until a layer says otherwise).

    `implied` counts the directories that were made because something is in them, and no layer had stated them yet;
    `detours` the components that symlinks among parents led through, beyond a few for each lookup (lookup.py);
    `brought` the bytes of content that layers brought, also of what later ones took away.
    """

    root: Directory = field(default_factory=Directory)
    implied: int = 0
    detours: int = 0
    brought: int = 0

    def walk(self) -> Iterator[tuple[bytes, Node]]:
        """Yield every path below the root with its node: parents first, siblings in byte order.

        Paths are relative (`etc/hosts`). A node with several names comes once for each of them. The depth of
        the tree is the layers' choice, so the walk keeps its own stack.
        """
        stack = [(b"", iter(sorted(self.root.children.items())))]
        while stack:
            prefix, siblings = stack[-1]
            for name, node in siblings:
                path = prefix + name
                yield path, node
                if isinstance(node, Directory):
                    stack.append((path + b"/", iter(sorted(node.children.items()))))
                    break
            else:
                stack.pop()

    def nodes(self) -> Iterator[Node]:
        """Yield the root and everything below it, in no particular order; a node once per name."""
        stack = [self.root]
        yield self.root
        while stack:
            for node in stack.pop().children.values():
                yield node
                if isinstance(node, Directory):
                    stack.append(node)

    def clamp_times(self, epoch: int) -> None:
        """Set every modification time after `epoch`, in seconds since 1970, to it; older ones stay.

        So SOURCE_DATE_EPOCH asks (reproducible-builds.org/specs/source-date-epoch).
        """
        latest = epoch * 1_000_000_000
        for node in self.nodes():
            if node.mtime_ns > latest:
                node.mtime_ns = latest

    def hardlinked(self) -> set[int]:
        """The `id()` of every node that has more than one name."""
        seen: set[int] = set()
        shared: set[int] = set()
        for node in self.nodes():
            if not isinstance(node, Directory):
                (shared if id(node) in seen else seen).add(id(node))
        return shared
