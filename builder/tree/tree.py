"""The merged tree as a whole, and the one way to walk it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from builder.tree.nodes import Directory, Node


@dataclass(slots=True)
class Tree:
    """A root file system; `root` is its top directory (0755 root:root at the epoch until a layer says otherwise)."""

    root: Directory = field(default_factory=Directory)

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
