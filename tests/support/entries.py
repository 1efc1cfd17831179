"""Layers as lists of entries, for tests of the merge that need neither tar nor disk.

    tree = merged([file("a", 1), directory("d")], [whiteout("a")])

A file's content is a number that says which version it is: it stands in the tree as an offset, and `listing`
shows it.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from builder.archive.entry import Entry, Kind
from builder.errors import LayerRefused
from builder.tree.entries import Entries
from builder.tree.merge import apply_layer
from builder.tree.nodes import EMPTY, Content, Directory, Metadata, Node
from builder.tree.tree import Tree

Layer = list[tuple[Entry, Content]]


def entry(path: str | bytes, kind: Kind, content: Content = EMPTY, **header: Any) -> tuple[Entry, Content]:
    """An entry of any kind; `header` are further fields of Entry."""
    return Entry(os.fsencode(path), kind, **header), content


def file(path: str | bytes, version: int = 0, **header: Any) -> tuple[Entry, Content]:
    return entry(path, Kind.FILE, Content(version, version), size=version, **{"mode": 0o644, **header})


def directory(path: str | bytes, **header: Any) -> tuple[Entry, Content]:
    return entry(path, Kind.DIRECTORY, **header)


def symlink(path: str | bytes, target: str | bytes, **header: Any) -> tuple[Entry, Content]:
    return entry(path, Kind.SYMLINK, link=os.fsencode(target), **{"mode": 0o777, **header})


def hardlink(path: str | bytes, target: str | bytes, **header: Any) -> tuple[Entry, Content]:
    return entry(path, Kind.HARDLINK, link=os.fsencode(target), **header)


def fifo(path: str | bytes, **header: Any) -> tuple[Entry, Content]:
    return entry(path, Kind.FIFO, **header)


def character(path: str | bytes, major: int, minor: int, **header: Any) -> tuple[Entry, Content]:
    return entry(path, Kind.CHARACTER, major=major, minor=minor, **header)


def block(path: str | bytes, major: int, minor: int, **header: Any) -> tuple[Entry, Content]:
    return entry(path, Kind.BLOCK, major=major, minor=minor, **header)


def whiteout(path: str) -> tuple[Entry, Content]:
    """The whiteout of `path`, as a layer has it: `a/.wh.b` for `a/b`."""
    above, _, name = path.rpartition("/")
    return file(f"{above}/.wh.{name}" if above else f".wh.{name}")


def opaque(path: str = "") -> tuple[Entry, Content]:
    """The opaque marker of the directory `path`; of the root without one."""
    return file(f"{path}/.wh..wh..opq" if path else ".wh..wh..opq")


def merged(*layers: Layer) -> Tree:
    """Apply layers, bottom first, to an empty tree."""
    tree = Tree()
    for number, layer in enumerate(layers, start=1):
        apply_layer(tree, f"layer {number}", Entries(layer))
    return tree


def node(tree: Tree, path: str) -> Node:
    """The node at a path without symlinks in it."""
    found: Node = tree.root
    for name in os.fsencode(path).split(b"/"):
        assert isinstance(found, Directory)
        found = found.children[name]
    return found


def metadata(of: Metadata) -> tuple[object, ...]:
    """All that every kind of node has, to compare."""
    return of.mode, of.uid, of.gid, of.mtime_ns, dict(of.xattrs)


def refusal(*layers: Layer) -> str:
    """The reason for which the last entry of the last layer, and no other, is refused."""
    with pytest.raises(LayerRefused) as refused:
        merged(*layers)
    last = layers[-1][-1][0]
    assert (refused.value.layer, refused.value.entry) == (f"layer {len(layers)}", last.path)
    return refused.value.reason
