"""What one layer adds to the tree."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from support.entries import (
    Layer,
    block,
    character,
    directory,
    entry,
    fifo,
    file,
    hardlink,
    merged,
    metadata,
    node,
    refusal,
    symlink,
    whiteout,
)
from support.trees import listing, paths

from builder.archive.entry import Kind
from builder.tree.entries import Entries
from builder.tree.merge import apply_layer
from builder.tree.tree import Tree


def test_every_kind_becomes_its_node_with_all_metadata() -> None:
    header: dict[str, Any] = {"uid": 3, "gid": 4, "mtime_ns": -5, "xattrs": {b"trusted.x": b"y"}}
    tree = merged(
        [
            directory("d", mode=0o1777, **header),
            file("f", 7, mode=0o4755, **header),
            symlink("s", "/a/../b//", **header),
            character("c", 4095, 2**20 - 1, mode=0o620, **header),
            block("b", 8, 0, mode=0o660, **header),
            fifo("p", mode=0, **header),
        ]
    )
    assert listing(tree) == [
        "b block 8:0",
        "c character 4095:1048575",
        "d/",
        "f (7 bytes at 7)",
        "p fifo",
        "s -> /a/../b//",
    ]
    modes = {"b": 0o660, "c": 0o620, "d": 0o1777, "f": 0o4755, "p": 0, "s": 0o777}
    found = {name: metadata(node(tree, name)) for name in modes}
    assert found == {name: (mode, 3, 4, -5, {b"trusted.x": b"y"}) for name, mode in modes.items()}


def test_only_permission_bits_of_the_mode_count() -> None:
    assert node(merged([file("a", mode=0o100644), file("b", mode=0o7777)]), "a").mode == 0o644


def test_linux_shows_every_symlink_as_0777() -> None:
    assert node(merged([symlink("a", "b", mode=0o600)]), "a").mode == 0o777


def test_names_are_bytes() -> None:
    names = [b"\xff\xfe", b"new\nline", b"a b", b"n" * 255, "é".encode(), b"-rf", b"\\", b"wh."]
    tree = merged([file(name) for name in names])
    assert [path for path, _ in tree.walk()] == sorted(names)


@pytest.mark.parametrize("raw", ["/a/b", "./a/b", "a//b", "a/b/", "//./a/.//b//"])
def test_spellings_of_real_tools_are_one_path(raw: str) -> None:
    assert paths(merged([file("a/b", 1)], [file(raw, 2)])) == ["a/", "a/b"]


@pytest.mark.parametrize("raw", ["../a", "a/../b", "..", "a/..", "a\0b", "n" * 256, "d/" * 2100])
def test_unsafe_names_are_refused_with_layer_and_entry(raw: str) -> None:
    refusal([file("first")], [file("fine"), file(raw)])


# The root.


@pytest.mark.parametrize("raw", ["./", "/", ".", ""])
def test_an_entry_for_the_root_gives_the_root_its_metadata(raw: str) -> None:
    tree = merged([file("a")], [directory(raw, mode=0o700, uid=1, gid=2, mtime_ns=3, xattrs={b"user.x": b"y"})])
    assert metadata(tree.root) == (0o700, 1, 2, 3, {b"user.x": b"y"})
    assert paths(tree) == ["a"]


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.DIRECTORY])
def test_the_root_cannot_become_something_else(kind: Kind) -> None:
    assert refusal([entry("./", kind, link=b"a")]) == f"the root is a directory, and this is a {kind.value}"


# Types that change between layers.

KINDS: dict[str, Layer] = {
    "file": [file("x", 1)],
    "directory": [directory("x", mode=0o700), file("x/inside", 1), directory("x/sub"), file("x/sub/deep", 1)],
    "symlink": [symlink("x", "other")],
    "character": [character("x", 1, 3)],
    "fifo": [fifo("x")],
    "hardlink": [hardlink("x", "first")],
}
BASE = [directory("other"), file("other/kept", 5), file("first", 6)]
BASE_LISTING = ["first (6 bytes at 6)", "other/", "other/kept (5 bytes at 5)"]
ALONE = {
    "file": ["x (2 bytes at 2)"],
    "directory": ["x/", "x/new (2 bytes at 2)"],
    "symlink": ["x -> new"],
    "character": ["x character 5:1"],
    "fifo": ["x fifo"],
    "hardlink": ["x = first"],
}
UPPER: dict[str, Layer] = {
    "file": [file("x", 2)],
    "directory": [directory("x"), file("x/new", 2)],
    "symlink": [symlink("x", "new")],
    "character": [character("x", 5, 1)],
    "fifo": [fifo("x")],
    "hardlink": [hardlink("x", "first")],
}


@pytest.mark.parametrize(("lower", "upper"), list(product(KINDS, UPPER)))
@pytest.mark.parametrize("hidden", ["", "before", "after"])
def test_every_type_replaces_every_type(lower: str, upper: str, hidden: str) -> None:
    layer = list(UPPER[upper])
    if hidden:
        layer.insert(0 if hidden == "before" else len(layer), whiteout("x"))
    expected = BASE_LISTING + ALONE[upper]
    if (lower, upper, hidden) == ("directory", "directory", ""):
        below = ["x/inside (1 bytes at 1)", "x/new (2 bytes at 2)", "x/sub/", "x/sub/deep (1 bytes at 1)"]
        expected = [*BASE_LISTING, "x/", *below]
    assert listing(merged(BASE, KINDS[lower], layer)) == expected


@pytest.mark.parametrize(("lower", "upper"), list(product(KINDS, UPPER)))
def test_the_later_of_repeated_entries_wins(lower: str, upper: str) -> None:
    expected = merged(BASE, KINDS[lower], UPPER[upper])
    assert listing(merged(BASE + KINDS[lower] + UPPER[upper])) == listing(expected)


def test_a_directory_stated_again_changes_metadata_and_keeps_children() -> None:
    tree = merged(
        [directory("d", mode=0o700, xattrs={b"user.a": b"1"}), file("d/f", 1)],
        [directory("d", mode=0o755, uid=1, gid=2, mtime_ns=3, xattrs={b"user.b": b"2"})],
    )
    assert listing(tree) == ["d/", "d/f (1 bytes at 1)"]
    assert metadata(node(tree, "d")) == (0o755, 1, 2, 3, {b"user.b": b"2"})


def test_a_new_file_takes_nothing_over_from_the_old_one() -> None:
    old = file("a", 1, mode=0o4755, xattrs={b"trusted.x": b"x"}, uid=5)
    assert metadata(node(merged([old], [file("a", 2)]), "a")) == (0o644, 0, 0, 0, {})


def test_a_directory_replaces_a_symlink_to_a_directory() -> None:
    lower = [directory("usr"), file("usr/kept", 1), symlink("link", "usr")]
    tree = merged(lower, [directory("link"), file("link/new", 2)])
    assert listing(tree) == ["link/", "link/new (2 bytes at 2)", "usr/", "usr/kept (1 bytes at 1)"]


def test_entries_are_let_go_of_as_the_tree_grows() -> None:
    layer = Entries([directory("d"), file("d/f", 7), hardlink("d/g", "d/f")])
    tree = Tree()
    apply_layer(tree, "layer", layer)
    assert (len(layer), paths(tree)) == (0, ["d/", "d/f", "d/g"])
