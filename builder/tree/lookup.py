"""Path resolution inside the tree, as the guest's kernel does it (path_resolution(7)), never on the host."""

from __future__ import annotations

from collections.abc import Callable

from builder.linux import MAX_NAME, MAX_PATH
from builder.tree.nodes import Directory, Node, Symlink
from builder.tree.paths import Refusal, path_length
from builder.tree.tree import Tree

# Linux follows 40 symlinks in one lookup (MAXSYMLINKS) and then says ELOOP.
MAX_SYMLINKS = 40

# A target holds some 2,000 components, so 40 of them would make one entry cost 80,000 steps.
MAX_STEPS = 4096

# Millions of entries behind such symlinks would still cost minutes. A real one leads through a handful of components,
# so what a lookup takes beyond a few is counted for the whole image: some seconds' worth, and real images take none.
FREE_STEPS = 16
MAX_DETOURS = 16_000_000


def find_parent(tree: Tree, parts: tuple[bytes, ...]) -> Directory | None:
    """Find the directory that holds the last of `parts`; None if there is none. The last is not looked up.

    Symlinks before the last component are followed; raises Refusal for a loop of them, and if they lead too far.
    """
    directory = tree.root
    for name in parts[:-1]:
        child = directory.children.get(name)
        if type(child) is not Directory:
            return _resolve(tree, parts, None)
        directory = child
    return directory


def find_node(tree: Tree, parts: tuple[bytes, ...], *, follow: bool = True) -> Node | None:
    """Find what `parts` name, the root for none; None if there is nothing. A symlink at the end is followed on request.

    Raises Refusal as find_parent does.
    """
    place = find_path(tree, parts) if follow else parts
    if not place:
        return None if place is None else tree.root
    parent = find_parent(tree, place)
    return None if parent is None else parent.children.get(place[-1])


def find_path(tree: Tree, parts: tuple[bytes, ...]) -> tuple[bytes, ...] | None:
    """Follow the symlinks that `parts` name in the end, to the path of what is none; None if there is nothing.

    Raises Refusal as find_parent does.
    """
    for _ in range(MAX_SYMLINKS):
        parent = find_parent(tree, parts) if parts else None
        node = tree.root if not parts else None if parent is None else parent.children.get(parts[-1])
        if not isinstance(node, Symlink):
            return None if node is None else parts
        target = tuple(part for part in node.target.split(b"/") if part not in (b"", b"."))
        parts = target if node.target.startswith(b"/") else parts[:-1] + target
    raise Refusal(f"more than {MAX_SYMLINKS} symlinks, or a loop of them")


def make_parent(tree: Tree, parts: tuple[bytes, ...], make: Callable[[], Directory] = Directory) -> Directory:
    """Find the directory that holds the last of `parts`, making what is missing on the way, each with `make`.

    What is made is 0755 root:root and of 1970. A dangling symlink is followed, too: directories are made where
    it points to, inside the tree. Raises Refusal for a loop of symlinks, if they lead too far, and when something
    that is no directory stands in the way.
    """
    directory = tree.root
    for name in parts[:-1]:
        child = directory.children.get(name)
        if type(child) is not Directory:
            made = _resolve(tree, parts, make)
            if made is None:
                raise Refusal("its parent is not a directory")
            return made
        directory = child
    return directory


def _resolve(tree: Tree, parts: tuple[bytes, ...], make: Callable[[], Directory] | None) -> Directory | None:
    """Walk to the parent of `parts` with all the rules; None if it is missing or no directory."""
    names: list[bytes] = []
    directories = [tree.root]
    pending = list(reversed(parts[:-1]))
    steps = links = followed = 0
    while pending:
        name = pending.pop()
        steps += 1
        if steps > MAX_STEPS:
            raise Refusal(f"the symlinks among its parents lead through more than {MAX_STEPS} components")
        if name in (b"", b"."):
            continue
        if name == b"..":
            # The root is its own parent: nothing leads out of the tree.
            if names:
                names.pop()
                directories.pop()
            continue
        node = directories[-1].children.get(name)
        if isinstance(node, Symlink):
            links += 1
            if links > MAX_SYMLINKS:
                raise Refusal(f"more than {MAX_SYMLINKS} symlinks among its parents, or a loop of them")
            if node.target.startswith(b"/"):
                names.clear()
                del directories[1:]
            target = node.target.split(b"/")
            followed += len(target)
            _count_detour(tree, min(len(target), followed - FREE_STEPS))
            pending.extend(reversed(target))
            continue
        if node is None and make is not None:
            _check_name(name)
            node = directories[-1].children[name] = make()
        if not isinstance(node, Directory):
            return None
        names.append(name)
        directories.append(node)
    if path_length([*names, parts[-1]]) > MAX_PATH:
        raise Refusal(f"with the symlinks among its parents resolved it is longer than {MAX_PATH} bytes")
    return directories[-1]


def _count_detour(tree: Tree, steps: int) -> None:
    tree.detours += max(steps, 0)
    if tree.detours > MAX_DETOURS:
        raise Refusal(
            f"with it, the symlinks among the parents of this image's entries lead through more than {MAX_DETOURS} "
            f"components, not counting {FREE_STEPS} for each entry"
        )


def _check_name(name: bytes) -> None:
    # Other names went through paths.py; this one may come out of a symlink's target.
    if len(name) > MAX_NAME:
        raise Refusal(f"a symlink among its parents names a component of more than {MAX_NAME} bytes")
