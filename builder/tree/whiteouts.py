"""What a layer takes away from the layers below it (OCI image-spec, layer.md, "Whiteouts")."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

from builder.archive.entry import Entry, Kind
from builder.errors import LayerRefused
from builder.linux import OPAQUE, WHITEOUT
from builder.tree.entries import Entries
from builder.tree.lookup import find_parent
from builder.tree.nodes import Directory, Node, Symlink
from builder.tree.paths import Refusal, components
from builder.tree.tree import Tree

# What AUFS kept for itself at the top of a branch; old images have it. Files below `.wh..wh.plnk` are what
# hardlinks elsewhere in the layer point to.
AUFS_LINKS = b".wh..wh.plnk"
AUFS = frozenset({b".wh..wh.aufs", b".wh..wh.orph", AUFS_LINKS})

# Stands for "all names" in the place of a hidden name; a name is never empty.
EVERYTHING = b""


def hidden_name(parts: tuple[bytes, ...]) -> bytes | None:
    """Say which name a path hides in its directory, if it is a whiteout: EVERYTHING for an opaque marker.

    A whiteout is known by its name alone, whatever its type. Raises Refusal for whiteouts of nothing, of `.`,
    of `..` and of whiteouts, and for anything below a whiteout.
    """
    if any(part.startswith(WHITEOUT) for part in parts[:-1]):
        raise Refusal("lies below a whiteout, as if that were a directory")
    if not parts or not parts[-1].startswith(WHITEOUT):
        return None
    if parts[-1] == OPAQUE:
        return EVERYTHING
    name = parts[-1].removeprefix(WHITEOUT)
    if name in (b"", b".", b".."):
        raise Refusal(f"is a whiteout of {name.decode() or 'nothing'}")
    if name.startswith(WHITEOUT):
        raise Refusal("is a whiteout of a whiteout")
    return name


def is_aufs(parts: tuple[bytes, ...]) -> bool:
    """Tell whether a path is AUFS's own bookkeeping, which is no part of the root file system."""
    return bool(parts) and parts[0] in AUFS


def hide_lower(
    tree: Tree, layer: str, entries: Entries, deleted: Callable[[tuple[bytes, ...], Node], None] | None = None
) -> dict[int, Node]:
    """Take out of `tree` what the whiteouts of this layer hide; nothing of the layer itself is in it yet.

    `deleted` is told each path and what stood there.

    Every whiteout is looked up before the first is applied, so their order does not matter. One whose target
    or parent does not exist hides nothing: real tools write those.

    Returns the lower inodes that hardlinks of this layer name before a whiteout behind them hides that name, by the
    hardlink's place among the entries: so containerd writes a file that was linked and then removed.
    """
    hidden: list[tuple[int, Directory, bytes]] = []
    stated = _Stated(entries)
    for place, entry in enumerate(entries):
        if WHITEOUT not in entry.path:
            continue
        try:
            parts = components(entry.path)
            name = None if is_aufs(parts) else hidden_name(parts)
            if name is None or stated.replaces_symlink_towards(parts, tree.root):
                continue
            parent = find_parent(tree, parts)
        except Refusal as refusal:
            raise LayerRefused(layer, entry.path, refusal.reason) from refusal
        if parent is not None:
            hidden.append((place, parent, name))
    linked: dict[int, Node] = {}
    start = 0
    for place, directory, doomed in hidden:
        linked.update(_link_targets(tree, entries, start, place))
        start = place
        if deleted is not None:
            _tell(deleted, components(entries[place].path)[:-1], directory, doomed)
        if doomed == EVERYTHING:
            directory.children.clear()
        else:
            directory.children.pop(doomed, None)
    return {place: node for place, node in linked.items() if find_link_target(tree, entries[place]) is not node}


def _tell(
    deleted: Callable[[tuple[bytes, ...], Node], None], parents: tuple[bytes, ...], directory: Directory, doomed: bytes
) -> None:
    for name in directory.children if doomed == EVERYTHING else [doomed]:
        if (node := directory.children.get(name)) is not None:
            deleted((*parents, name), node)


def find_link_target(tree: Tree, entry: Entry) -> Node | None:
    """Find what a hardlink names in the tree; None if there is nothing, or nothing that it may name."""
    with suppress(Refusal):
        target = components(entry.link)
        parent = find_parent(tree, target) if target else None
        return parent.children.get(target[-1]) if parent is not None else None
    return None


def _link_targets(tree: Tree, entries: Entries, start: int, stop: int) -> Iterator[tuple[int, Node]]:
    for place in range(start, stop):
        entry = entries[place]
        if entry.kind is Kind.HARDLINK and (node := find_link_target(tree, entry)) is not None:
            yield place, node


class _Stated:
    """What a layer puts, or whites out, where lower layers may have a symlink.

    A layer in which the symlink `lib` became a directory has `lib/` and, as overlayfs made it, the marker
    `lib/.wh..wh..opq`. That means the new `lib`: following the old symlink would empty what it points to.
    """

    def __init__(self, entries: Entries) -> None:
        self._entries = entries
        self._paths: set[tuple[bytes, ...]] | None = None

    def replaces_symlink_towards(self, parts: tuple[bytes, ...], root: Directory) -> bool:
        """Tell whether the first symlink among the parents of `parts` gives way to this layer."""
        directory = root
        for depth, name in enumerate(parts[:-1], start=1):
            child = directory.children.get(name)
            if isinstance(child, Symlink):
                return parts[:depth] in self._replaced()
            if not isinstance(child, Directory):
                return False
            directory = child
        return False

    def _replaced(self) -> set[tuple[bytes, ...]]:
        # Only layers with a whiteout behind a symlink come here, so the set is made when it is asked for.
        if self._paths is None:
            self._paths = set()
            for entry in self._entries:
                try:
                    parts = components(entry.path)
                except Refusal:
                    continue  # that entry is refused on its own turn, under its own name
                if parts and parts[-1].startswith(WHITEOUT):
                    self._paths.add((*parts[:-1], parts[-1].removeprefix(WHITEOUT)))
                elif entry.kind is not Kind.SYMLINK:
                    self._paths.add(parts)
        return self._paths
