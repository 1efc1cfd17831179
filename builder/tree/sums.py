"""How many bytes of content are where in a merged tree: sums for each directory, and the largest of what is there.

Bytes are those of content, as files have them, holes included: what inodes and directories take is the disk's business.
A file with several names counts once, under the first of them in byte order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush, nsmallest

from builder.tree.nodes import Content, Directory, File, Node
from builder.tree.tree import Tree


@dataclass(slots=True, eq=False)
class Sum:
    """What a directory holds, with all below it: bytes, files that have content, and bytes by layer."""

    size: int = 0
    files: int = 0
    layers: dict[int, int] = field(default_factory=dict)

    def add(self, size: int, files: int, layers: dict[int, int]) -> None:
        """Take in what is below."""
        self.size += size
        self.files += files
        for layer, part in layers.items():
            self.layers[layer] = self.layers.get(layer, 0) + part


@dataclass(frozen=True, slots=True)
class Branch:
    """A directory or file among the largest: `size` in bytes with all below it, and the largest of what is below.

    `others` counts what is directly below it and not among `children`; its bytes are what `children` leave of `size`.
    """

    name: bytes
    size: int
    files: int
    layers: dict[int, int]
    directory: bool
    children: tuple[Branch, ...] = ()
    others: int = 0


class Sums:
    """The sums of all directories of a tree, which must not change any more.

    `layer` says of a content which layer brought it. Memory grows with the number of entries.
    """

    def __init__(self, tree: Tree, layer: Callable[[Content], int] = lambda _content: 0) -> None:
        self._root = tree.root
        self._layer = layer
        self._sums: dict[int, Sum] = {}
        # A file by its second name and the next ones: (directory, name).
        self._repeated: set[tuple[int, bytes]] = set()
        self._measure()

    @property
    def total(self) -> Sum:
        """What the whole tree holds."""
        return self._sums[id(self._root)]

    def directories(self, depth: int | None = None) -> Iterator[tuple[bytes, Sum]]:
        """Yield each directory's path and sum, the root's, "", first, parents before children, in byte order.

        With a depth, none that lies deeper.
        """
        stack = [(b"", 0, self._root)]
        while stack:
            path, level, directory = stack.pop()
            yield path, self._sums[id(directory)]
            if level == depth:
                continue
            below = [(name, node) for name, node in directory.children.items() if isinstance(node, Directory)]
            prefix = path + b"/" if path else b""
            stack += ((prefix + name, level + 1, node) for name, node in sorted(below, key=_name, reverse=True))

    def files(self) -> Iterator[tuple[bytes, int, int]]:
        """Yield path, size in bytes and layer of each file that has content, once, in no particular order."""
        stack = [(b"", self._root)]
        while stack:
            prefix, directory = stack.pop()
            for name, node in directory.children.items():
                if isinstance(node, Directory):
                    stack.append((prefix + name + b"/", node))
                elif isinstance(node, File) and (size := self._size(directory, name, node)):
                    yield prefix + name, size, self._layer(node.content)

    def largest_files(self, most: int) -> list[tuple[bytes, int, int]]:
        """Return the largest files, as `files` yields them, largest first."""
        return nsmallest(most, self.files(), key=lambda file: (-file[1], file[0]))

    def largest(self, most: int, depth: int | None = None) -> Branch:
        """Return the tree of the `most` largest directories and files, not counting the root, down to a depth.

        The order is by size, then by name; what holds no byte is left out.
        """
        chosen: dict[int, list[_Place]] = {}
        places = self._below(self._root, 1, most)
        heapify(places)
        while places and most > 0:
            place = heappop(places)
            most -= 1
            chosen.setdefault(id(place.parent), []).append(place)
            if isinstance(place.node, Directory) and (depth is None or place.depth < depth):
                for each in self._below(place.node, place.depth + 1, most):
                    heappush(places, each)
        return self._branch(chosen)

    def _branch(self, chosen: dict[int, list[_Place]]) -> Branch:
        """Put together what was chosen; the children of a branch were chosen after it, so they come first here."""
        made: dict[int, list[Branch]] = {}
        order = [place for places in chosen.values() for place in places]
        for place in sorted(order, key=lambda place: (-place.depth, place.rank)):
            branch = self._one(place.name, place.parent, place.node, made)
            made.setdefault(id(place.parent), []).append(branch)
        return self._one(b"", self._root, self._root, made)

    def _one(self, name: bytes, parent: Directory, node: Node, made: dict[int, list[Branch]]) -> Branch:
        if not isinstance(node, Directory):
            assert isinstance(node, File)
            size = self._size(parent, name, node)
            return Branch(name, size, 1, {self._layer(node.content): size}, directory=False)
        total, children = self._sums[id(node)], tuple(made.get(id(node), ()))
        others = len(node.children) - len(children)
        return Branch(name, total.size, total.files, total.layers, True, children, others)

    def _below(self, directory: Directory, depth: int, most: int) -> list[_Place]:
        places = (
            _Place((-size, name), depth, directory, name, node)
            for name, node in directory.children.items()
            if (size := self._size(directory, name, node))
        )
        return nsmallest(most, places)

    def _size(self, parent: Directory, name: bytes, node: Node) -> int:
        if isinstance(node, Directory):
            return self._sums[id(node)].size
        if not isinstance(node, File) or (id(parent), name) in self._repeated:
            return 0
        return node.content.size

    def _measure(self) -> None:
        # The depth of the tree is the layers' choice, so this keeps its own stack.
        seen: set[int] = set()
        stack = [(self._root, iter(sorted(self._root.children.items())))]
        self._sums[id(self._root)] = Sum()
        while stack:
            directory, siblings = stack[-1]
            own = self._sums[id(directory)]
            for name, node in siblings:
                if isinstance(node, Directory):
                    self._sums[id(node)] = Sum()
                    stack.append((node, iter(sorted(node.children.items()))))
                    break
                if isinstance(node, File) and node.content.size:
                    if id(node) in seen:
                        self._repeated.add((id(directory), name))
                    else:
                        seen.add(id(node))
                        own.add(node.content.size, 1, {self._layer(node.content): node.content.size})
            else:
                stack.pop()
                if stack:
                    self._sums[id(stack[-1][0])].add(own.size, own.files, own.layers)


@dataclass(slots=True, order=True)
class _Place:
    """Something that may be among the largest; `rank` orders by size, then name."""

    rank: tuple[int, bytes]
    depth: int
    parent: Directory = field(compare=False)
    name: bytes = field(compare=False)
    node: Node = field(compare=False)


def _name(child: tuple[bytes, Node]) -> bytes:
    return child[0]
