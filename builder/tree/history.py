"""What each layer of an image brought, and what of that upper layers deleted or replaced: bytes that nobody can see.

Every layer is inflated and sent whole, so such bytes are paid for at each pull; the disk does not have them.
"""

from __future__ import annotations

from dataclasses import dataclass

from builder.archive.entry import Kind
from builder.tree.efficiency import Efficiency, files_below
from builder.tree.entries import Entries
from builder.tree.merge import Lost, apply_layer
from builder.tree.nodes import Directory, File, Node
from builder.tree.sums import Sums
from builder.tree.tree import Tree


@dataclass(frozen=True, slots=True)
class LayerUse:
    """One layer: its entries and files with content, the bytes that it brought, and those still to be seen on top."""

    entries: int
    files: int
    brought: int
    kept: int


@dataclass(frozen=True, slots=True)
class Loss:
    """What `layer` (from 0) deleted, or replaced, at `path`: `size` bytes of `files`, which lower layers brought.

    `layers` has their part by layer. What has another name that is still there is not lost.
    """

    path: bytes
    layer: int
    deleted: bool
    size: int
    files: int
    layers: dict[int, int]


class History:
    """Applies layers to a tree, bottom first, and remembers. Entries come from `read_headers`, with their numbers."""

    def __init__(self) -> None:
        self.tree = Tree()
        self.efficiency = Efficiency()
        self._brought: list[tuple[int, int, int]] = []
        self._lost: list[tuple[bytes, int, bool, Node]] = []

    def apply(self, name: str, entries: Entries) -> None:
        """Apply the next layer; raises LayerRefused."""
        contents = [entry.size for entry in entries if entry.kind is Kind.FILE and entry.size]
        self._brought.append((len(entries), len(contents), sum(contents)))
        self.efficiency.add(entries, self.tree)
        number = len(self._brought) - 1
        apply_layer(
            self.tree,
            name,
            entries,
            deleted=self._remember(number, deleted=True),
            replaced=self._remember(number, deleted=False),
        )

    def _remember(self, number: int, *, deleted: bool) -> Lost:
        def remember(parts: tuple[bytes, ...], node: Node) -> None:
            if isinstance(node, Directory) or (isinstance(node, File) and node.content.size):
                self._lost.append((b"/".join(parts), number, deleted, node))

        return remember

    def layers(self, sums: Sums) -> list[LayerUse]:
        """Say of each layer what it brought, and what of it is in `sums`, those of the finished tree."""
        kept = sums.total.layers
        return [LayerUse(*brought, kept.get(number, 0)) for number, brought in enumerate(self._brought)]

    def losses(self) -> list[Loss]:
        """List what was lost, the most bytes first; each file counts once, where its last name went."""
        counted = {id(file) for file in files_below(self.tree.root)}
        found = []
        for path, number, deleted, node in reversed(self._lost):
            files = [file for file in files_below(node) if id(file) not in counted]
            if not files:
                continue
            counted.update(map(id, files))
            layers: dict[int, int] = {}
            for file in files:
                layers[file.content.offset] = layers.get(file.content.offset, 0) + file.content.size
            found.append(Loss(path, number, deleted, sum(layers.values()), len(files), layers))
        return sorted(found, key=lambda loss: (-loss.size, loss.path, loss.layer))
