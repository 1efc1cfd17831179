"""Walks over the whole tree."""

from __future__ import annotations

from support.entries import directory, file, hardlink, merged, node

from builder.tree.tree import Tree

LAYER = [directory("b"), file("b/z", 1), file("b.c", 1), file("b/a", 1), hardlink("a", "b/z"), file("\udcff", 1)]


def test_a_walk_goes_parents_first_and_siblings_in_byte_order() -> None:
    assert [path for path, _ in merged(LAYER).walk()] == [b"a", b"b", b"b/a", b"b/z", b"b.c", b"\xff"]


def test_nodes_are_the_root_and_a_node_per_name() -> None:
    tree = merged(LAYER)
    assert sorted(map(id, tree.nodes())) == sorted([id(tree.root), *(id(each) for _, each in tree.walk())])


def test_hardlinked_are_the_nodes_with_several_names() -> None:
    tree = merged(LAYER)
    assert tree.hardlinked() == {id(node(tree, "a"))}


def test_an_empty_tree_is_a_root() -> None:
    tree = Tree()
    assert (list(tree.walk()), list(tree.nodes()), tree.hardlinked()) == ([], [tree.root], set())
