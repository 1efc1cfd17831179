"""One layer applied to the tree that lower layers left (OCI image-spec, layer.md, "Applying Changesets")."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from builder.archive.entry import DIRECTORY, FILE, HARDLINK, Entry
from builder.errors import LayerRefused
from builder.events import Listener, Notice, ignore
from builder.linux import WHITEOUT
from builder.tree.entries import Entries
from builder.tree.inode import Inodes
from builder.tree.lookup import find_parent, make_parent
from builder.tree.nodes import Content, Directory, Node
from builder.tree.paths import Refusal, components
from builder.tree.tree import Tree
from builder.tree.whiteouts import AUFS_LINKS, hidden_name, hide_lower, is_aufs

# One entry can imply 2,000 directories, so a limit on entries does not bound them. Layers with any are rare.
MAX_IMPLIED = 1_000_000

# Told the path at which a layer has something else, or nothing any more, and the node that stood there.
Lost = Callable[[tuple[bytes, ...], Node], None]


def apply_layer(
    tree: Tree,
    name: str,
    entries: Entries,
    listen: Listener = ignore,
    deleted: Lost | None = None,
    replaced: Lost | None = None,
) -> None:
    """Apply a layer's entries, in the order of its archive, to `tree`; `name` is what errors call the layer.

    `entries` are empty afterwards: as the tree grows, they go, and both are never in memory as a whole.

    First all whiteouts hide what lower layers left, then everything else is added; so a whiteout never
    touches what its own layer brings, wherever in the archive it stands. A hardlink to a lower file gets it also if
    a whiteout behind it hides that file; behind the whiteout there is nothing left to link to. Raises LayerRefused
    for the first entry that cannot be applied faithfully; the tree is of no use then. `listen` hears of extended
    attributes that mean nothing in a guest and are dropped; `deleted` and `replaced` of what the layer takes away, a
    directory with all in it at once. It may have other names, or get them from the same layer.
    """
    additions = _Additions(tree, hide_lower(tree, name, entries, deleted), replaced)
    for place, (entry, content) in enumerate(entries.take()):
        try:
            additions.add(place, entry, content)
        except Refusal as refusal:
            raise LayerRefused(name, entry.path, refusal.reason) from refusal
    for sentence in additions.inodes.dropped():
        listen(Notice(f"{name}: {sentence}"))


class _Additions:
    """What one layer adds, entry by entry."""

    def __init__(self, tree: Tree, hidden_behind: Mapping[int, Node], replaced: Lost | None) -> None:
        self._tree = tree
        self._hidden_behind = hidden_behind
        self._replaced = replaced
        self._root = tree.root
        self.inodes = Inodes()
        self._aufs_links: dict[tuple[bytes, ...], Node] = {}

    def add(self, place: int, entry: Entry, content: Content) -> None:
        """Add the entry at a place in the layer; raises Refusal if that cannot be done faithfully."""
        parts = components(entry.path)
        if WHITEOUT in entry.path:
            if is_aufs(parts):
                self._keep_aufs_link(parts, entry, content)
                return
            if hidden_name(parts) is not None:
                return
        if not parts:
            self._restate_root(entry)
            return
        siblings = make_parent(self._tree, parts, self._imply).children
        if entry.kind is DIRECTORY:
            # A symlink to a directory is no directory here: the entry replaces it, as in other tools (lstat).
            existing = siblings.get(parts[-1])
            if isinstance(existing, Directory):
                self.inodes.restate(existing, entry)
                return
        if self._replaced is not None and (lower := siblings.get(parts[-1])) is not None:
            self._replaced(parts, lower)
        if entry.kind is HARDLINK:
            siblings[parts[-1]] = self._link_target(place, entry.link, siblings, parts[-1])
            return
        # Always a new inode: other names of the old one, here or in lower layers, keep the old content.
        siblings[parts[-1]] = self.inodes.make(entry, content)
        self._tree.brought += content.size

    def _imply(self) -> Directory:
        self._tree.implied += 1
        if self._tree.implied > MAX_IMPLIED:
            raise Refusal(f"with it, more than {MAX_IMPLIED} directories are not entries but only parents of some")
        return Directory()

    def _restate_root(self, entry: Entry) -> None:
        if entry.kind is not DIRECTORY:
            raise Refusal(f"the root is a directory, and this is a {entry.kind.value}")
        self.inodes.restate(self._root, entry)

    def _keep_aufs_link(self, parts: tuple[bytes, ...], entry: Entry, content: Content) -> None:
        if parts[0] == AUFS_LINKS and entry.kind is FILE:
            self._aufs_links[parts] = self.inodes.make(entry, content)

    def _link_target(self, place: int, link: bytes, siblings: dict[bytes, Node], name: bytes) -> Node:
        """Find the inode a hardlink is a further name of; what stood at its own `name` is gone afterwards.

        The header's own metadata does not count: it is the inode's already, and some tools leave it empty.
        umoci, GNU tar and bsdtar ignore it, too; containerd and docker apply it.
        """
        try:
            target = components(link)
        except Refusal as refusal:
            raise Refusal(f"its hardlink target {refusal.reason}") from refusal
        if target[:1] == (AUFS_LINKS,):
            return self._existing(self._aufs_links.get(target))
        # link(2) does not replace: the old entry goes first, and with it whatever was below it.
        siblings.pop(name, None)
        parent = find_parent(self._tree, target) if target else None
        if parent is not None and parent.children is siblings and target[-1] == name:
            raise Refusal("is a hardlink to itself")
        if not target:
            return self._existing(self._root)
        found = parent.children.get(target[-1]) if parent is not None else None
        return self._existing(self._hidden_behind.get(place) if found is None else found)

    @staticmethod
    def _existing(target: Node | None) -> Node:
        if target is None:
            raise Refusal("is a hardlink whose target does not exist")
        if isinstance(target, Directory):
            raise Refusal("is a hardlink to a directory")
        return target
