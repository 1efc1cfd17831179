"""An image's efficiency as `dive` counts it, so that its figures and limits in CI mean the same here.

Per path, over all layers: what each layer states there as a leaf (a file, a link, a device, or a directory in which it
states nothing), with the size in its header, and a whiteout, with the size of the directory that it removes or 0 for
anything else. Then

    efficiency = sum over paths of the smallest size / sum over paths of all sizes
    repeated   = sum over paths that were stated more than once of all sizes

(github.com/wagoodman/dive, dive/filetree/efficiency.go and dive/image/analysis.go). An image without a byte has the
efficiency 1. They are other figures than the bytes that nobody can see any more (history.py): `repeated`, which dive
calls wasted, counts the copy that stays as well, a removed directory is no waste unless its path was stated as a leaf
before, one that no layer states counts as 0, and opaque markers are not seen. What a removed directory holds is told by
our merge, and once, where a layer removes what is in it as well.
"""

from __future__ import annotations

from builder.archive.entry import Entry, Kind
from builder.linux import OPAQUE, WHITEOUT
from builder.tree.entries import Entries
from builder.tree.lookup import find_node
from builder.tree.nodes import Directory, File, Node
from builder.tree.paths import Refusal, components
from builder.tree.tree import Tree

# What begins so is left out: opaque markers, and what AUFS kept for itself.
_MARKS = OPAQUE.removesuffix(b"opq")


class _Place:
    """A path, as a component below another: sizes stated there, and which layer last had something at or below it."""

    __slots__ = ("above", "children", "directory", "hidden", "least", "times", "total")

    def __init__(self) -> None:
        self.children: dict[bytes, _Place] | None = None
        self.total = self.least = self.times = 0
        self.hidden = self.above = -1
        self.directory = False

    def below(self, name: bytes) -> _Place:
        if self.children is None:
            self.children = {}
        if name not in self.children:
            self.children[name] = _Place()
        return self.children[name]

    def count(self, size: int) -> None:
        self.least = min(self.least, size) if self.times else size
        self.total += size
        self.times += 1


class Efficiency:
    """Counts layer after layer, bottom first; what the layers' paths are made of is in memory, once."""

    def __init__(self) -> None:
        self._root = _Place()
        self._layer = -1

    def add(self, entries: Entries, below: Tree) -> None:
        """Count a layer; `below` is the tree that lower layers left. What our merge refuses does not count."""
        self._layer += 1
        stated: dict[_Place, Entry] = {}
        hidden: list[tuple[bytes, ...]] = []
        for entry in entries:
            try:
                parts = components(entry.path)
            except Refusal:
                continue
            if not parts or any(part.startswith(_MARKS) for part in parts):
                continue
            place = self._find(parts[:-1], mark=True)
            if parts[-1].startswith(WHITEOUT):
                hidden.append((*parts[:-1], parts[-1].removeprefix(WHITEOUT)))
                place.below(hidden[-1][-1]).hidden = self._layer
                continue
            # Twice in one layer, the last time counts.
            stated[place.below(parts[-1])] = entry
        for parts in hidden:
            place = self._find(parts)
            counts = place.directory and not self._is_hidden(parts[:-1])
            place.count(_removed(parts, below) if counts else 0)
        for place, entry in stated.items():
            place.directory = entry.kind is Kind.DIRECTORY
            if place.above != self._layer:
                place.count(entry.size if entry.kind is Kind.FILE else 0)

    @property
    def score(self) -> float:
        """The efficiency, from 0 to 1."""
        counted = self._counted()
        total = sum(place.total for place in counted)
        return sum(place.least for place in counted) / total if total else 1.0

    @property
    def repeated(self) -> int:
        """The bytes at paths that were stated more than once, all copies."""
        return sum(place.total for place in self._counted() if place.times > 1)

    def _find(self, parts: tuple[bytes, ...], *, mark: bool = False) -> _Place:
        place = self._root
        for part in parts:
            place = place.below(part)
            if mark:
                place.above = self._layer
        return place

    def _is_hidden(self, parents: tuple[bytes, ...]) -> bool:
        place = self._root
        for part in parents:
            place = place.below(part)
            if place.hidden == self._layer:
                return True
        return False

    def _counted(self) -> list[_Place]:
        found, stack = [], [self._root]
        while stack:
            place = stack.pop()
            if place.times:
                found.append(place)
            if place.children:
                stack += place.children.values()
        return found


def files_below(node: Node) -> list[File]:
    """List the files with content at and below a node, each once."""
    found: dict[int, File] = {}
    stack = [node]
    while stack:
        node = stack.pop()
        if isinstance(node, Directory):
            stack += node.children.values()
        elif isinstance(node, File) and node.content.size:
            found[id(node)] = node
    return list(found.values())


def _removed(parts: tuple[bytes, ...], below: Tree) -> int:
    try:
        node = find_node(below, parts, follow=False)
    except Refusal:
        return 0
    return sum(each.content.size for each in files_below(node)) if isinstance(node, Directory) else 0
