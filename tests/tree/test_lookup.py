"""Parents of entries: missing ones, symlinks, and what cannot be one."""

from __future__ import annotations

import pytest
from support.entries import (
    character,
    directory,
    fifo,
    file,
    hardlink,
    merged,
    metadata,
    node,
    refusal,
    symlink,
)
from support.trees import listing, paths

from builder.archive.entry import Entry
from builder.tree import lookup, merge
from builder.tree.nodes import Content


def test_missing_parents_are_0755_root_of_1970() -> None:
    tree = merged([file("a/b/c", 1, uid=7, mtime_ns=8)])
    assert paths(tree) == ["a/", "a/b/", "a/b/c"]
    assert [metadata(node(tree, path)) for path in ("a", "a/b")] == [(0o755, 0, 0, 0, {})] * 2


def test_directories_that_nobody_states_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "MAX_IMPLIED", 6)
    layers = [[file("a/b/c/f", 1)], [symlink("s", "x/y/z"), file("s/f", 1), file("s/g", 1)]]
    tree = merged(*layers)
    assert tree.implied == 6
    assert "more than 6 directories" in refusal(*layers, [file("new/f", 1)])


def test_a_parent_stated_late_gets_the_stated_metadata() -> None:
    tree = merged([file("a/b", 1), directory("a", mode=0o700, uid=5, mtime_ns=6)])
    assert paths(tree) == ["a/", "a/b"]
    assert metadata(node(tree, "a")) == (0o700, 5, 0, 6, {})


@pytest.mark.parametrize(
    "target", ["usr/lib", "/usr/lib", "../usr/lib", "/../../usr/lib", "usr/../usr/./lib//", "second", "usr/bin/../lib"]
)
def test_symlinks_among_the_parents_are_resolved_inside_the_tree(target: str) -> None:
    lower = [directory("usr/lib"), directory("usr/bin"), symlink("second", "/usr/third"), symlink("usr/third", "lib")]
    tree = merged([*lower, symlink("lib", target)], [file("lib/x", 2)])
    assert [path for path in paths(tree) if path.endswith("x")] == ["usr/lib/x"]


def test_a_relative_symlink_starts_where_it_is() -> None:
    tree = merged([directory("a/b"), directory("a/c"), symlink("a/b/up", "../c")], [file("a/b/up/x", 1)])
    assert paths(tree) == ["a/", "a/b/", "a/b/up", "a/c/", "a/c/x"]


def test_dot_dot_after_a_symlink_is_the_parent_of_where_it_leads() -> None:
    lower = [directory("deep/er"), symlink("s", "deep/er"), symlink("t", "s/../x")]
    assert paths(merged(lower, [file("t/f", 1)])) == ["deep/", "deep/er/", "deep/x/", "deep/x/f", "s", "t"]


def test_a_dangling_symlink_among_the_parents_leads_to_a_new_directory_inside_the_tree() -> None:
    tree = merged([symlink("var/run", "../../../run/now")], [file("var/run/pid", 1)])
    assert paths(tree) == ["run/", "run/now/", "run/now/pid", "var/", "var/run"]
    assert metadata(node(tree, "run/now")) == (0o755, 0, 0, 0, {})


def test_the_last_component_is_never_followed() -> None:
    tree = merged([file("target", 1), symlink("s", "target")], [file("s", 2)])
    assert listing(tree) == ["s (2 bytes at 2)", "target (1 bytes at 1)"]


def test_forty_symlinks_are_followed_and_no_more() -> None:
    chain = [symlink(f"s{i}", f"s{i + 1}") for i in range(40)]
    tree = merged([directory("s40"), *chain], [file("s0/x", 1)])
    assert [path for path in paths(tree) if path.endswith("x")] == ["s40/x"]
    longer = [symlink("start", "s0"), directory("s40"), *chain]
    assert refusal(longer, [file("start/x", 1)]) == "more than 40 symlinks among its parents, or a loop of them"


@pytest.mark.parametrize("target", ["loop", "./loop/x", "/loop", "back"])
def test_a_loop_of_symlinks_is_refused(target: str) -> None:
    lower = [symlink("loop", target), symlink("back", "loop")]
    assert refusal(lower, [file("loop/f", 1)]) == "more than 40 symlinks among its parents, or a loop of them"


def test_symlinks_cannot_make_one_entry_arbitrarily_dear() -> None:
    lower = [directory("d"), symlink("s0", "d"), *[symlink(f"s{i}", "./" * 2000 + f"s{i - 1}") for i in range(1, 9)]]
    reason = "the symlinks among its parents lead through more than 4096 components"
    assert refusal(lower, [file("s8/x", 1)]) == reason


def test_symlinks_cannot_make_many_entries_dear_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "MAX_DETOURS", 300)
    lower = [directory("d"), symlink("s", "./" * 99 + "d"), symlink("t", "d" + "/." * 15)]
    far, near = [file("s/1", 1), file("s/2", 1), hardlink("s/3", "s/1")], [file("t/4", 1)] * 99
    # Through `s` it is 100 components, of which 16 are for nothing; the hardlink goes there twice.
    assert merged(lower, far[:2], near).detours == 2 * 84
    assert "lead through more than 300 components" in refusal(lower, far)


def test_symlinks_of_whiteouts_count_as_those_of_other_entries() -> None:
    lower = [directory("d"), symlink("s", "./" * 99 + "d")]
    assert merged(lower, [file("s/.wh.x", 0)]).detours == 84


def test_symlinks_of_real_images_take_nothing_of_what_an_image_may_take() -> None:
    lower = [directory("usr/lib/x86_64-linux-gnu"), symlink("lib", "usr/lib"), symlink("lib64", "lib/x86_64-linux-gnu")]
    lower += [symlink("var/run", "/run"), symlink("usr/share/doc/a", "../../../lib64/../lib/b")]
    upper = [file(f"{place}/{n}", 1) for place in ("lib", "lib64", "var/run", "usr/share/doc/a") for n in range(99)]
    assert merged(lower, upper).detours == 0


def test_symlinks_cannot_make_the_tree_deeper_than_a_path_reaches() -> None:
    lower = [symlink("s", "d/" * 2000), symlink("s/t", "d/" * 2000)]
    reason = "with the symlinks among its parents resolved it is longer than 4095 bytes"
    assert refusal(lower, [file("s/t/x", 1)]) == reason


def test_symlinks_cannot_make_a_name_that_is_too_long() -> None:
    reason = "a symlink among its parents names a component of more than 255 bytes"
    assert refusal([symlink("s", "n" * 256)], [file("s/x", 1)]) == reason


@pytest.mark.parametrize("parent", [file("x"), fifo("x"), character("x", 1, 3)], ids=["file", "fifo", "device"])
@pytest.mark.parametrize("through", ["", "link/"])
def test_a_parent_that_is_no_directory_is_refused(parent: tuple[Entry, Content], through: str) -> None:
    lower = [parent, symlink("link", "/")]
    assert refusal(lower, [file(f"{through}x/below")]) == "its parent is not a directory"


def test_a_tree_as_deep_as_a_path_reaches() -> None:
    tree = merged([file("d/" * 2047 + "f", 1)], [file("d/" * 2047 + "f", 2)])
    last = list(tree.walk())[-1]
    assert last[0] == b"d/" * 2047 + b"f"
    assert len(list(tree.walk())) == 2048


def test_a_link_through_a_missing_directory_and_back_gets_that_as_well() -> None:
    """Linux opens `link/x` by way of `a` only; containerd and umoci write `b/x`, which no guest finds by the link."""
    tree = merged([symlink("link", "a/../b"), file("link/x", 1)])
    assert listing(tree) == ["a/", "b/", "b/x (1 bytes at 1)", "link -> a/../b"]
    found = [lookup.find_node(tree, (parent, b"x")) for parent in (b"link", b"b")]
    assert found[0] is found[1] is not None
