"""The merge against a second, slower telling of the same rules: a dictionary from whole paths to what is there."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.entries import Layer, directory, fifo, file, hardlink, opaque, symlink, whiteout
from support.merge_model import Model, ModelRefuses, from_model, from_tree

from builder.errors import LayerRefused
from builder.tree.entries import Entries
from builder.tree.merge import apply_layer
from builder.tree.tree import Tree

names = st.sampled_from(["a", "b", "c"])
relative = st.lists(names, min_size=1, max_size=3).map("/".join)
targets = st.one_of(
    relative,
    relative.map("/".__add__),
    relative.map("../".__add__),
    st.sampled_from(["/", ".", "..", "a/../b", "c/.."]),
)
versions = st.integers(1, 9)
entries = st.one_of(
    st.builds(file, relative, versions),
    st.builds(lambda path, mode: directory(path, mode=mode), st.one_of(relative, st.just("./")), st.integers(0, 511)),
    st.builds(symlink, relative, targets),
    st.builds(hardlink, relative, relative),
    st.builds(fifo, relative),
    st.builds(whiteout, relative),
    st.builds(opaque, st.one_of(st.just(""), relative)),
)
layers = st.lists(st.lists(entries, max_size=8), min_size=1, max_size=4)


@pytest.mark.heavy
@settings(max_examples=500, deadline=None, database=None)
@given(layers)
@example([[symlink("a", "b")], [directory("a"), opaque("a"), file("a/c", 1)]])
@example([[file("a", 1)], [file("a", 2), hardlink("a", "a"), opaque("")]])
def test_the_merge_agrees_with_the_model(stack: list[Layer]) -> None:
    model, tree = Model(), Tree()
    for layer in stack:
        try:
            model.apply([entry for entry, _ in layer])
        except ModelRefuses:
            refused = True
        else:
            refused = False
        try:
            apply_layer(tree, "layer", Entries(layer))
        except LayerRefused:
            assert refused
            return
        assert not refused
        assert from_tree(tree) == from_model(model)
