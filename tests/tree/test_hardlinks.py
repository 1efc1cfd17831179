"""A hardlink is one more name of an inode, in its own layer and across layers."""

from __future__ import annotations

from typing import Any

import pytest
from support.entries import directory, fifo, file, hardlink, merged, node, opaque, refusal, symlink, whiteout
from support.trees import listing, paths

from builder.errors import LayerRefused


@pytest.mark.parametrize("target", ["a/f", "/a/f", "./a/f", "a//f/"])
def test_a_hardlink_shares_the_inode(target: str) -> None:
    assert listing(merged([file("a/f", 1), hardlink("b/l", target)])) == ["a/", "a/f (1 bytes at 1)", "b/", "b/l = a/f"]


def test_chains_of_hardlinks_are_names_of_one_inode() -> None:
    tree = merged([file("a", 1), hardlink("b", "a"), hardlink("c", "b")], [hardlink("d", "c")])
    assert listing(tree) == ["a (1 bytes at 1)", "b = a", "c = a", "d = a"]


def test_a_hardlink_to_a_lower_layer_shares_its_inode() -> None:
    assert listing(merged([file("a", 1)], [hardlink("b", "a")])) == ["a (1 bytes at 1)", "b = a"]


def test_a_lower_hardlink_keeps_the_old_inode_when_one_name_is_replaced() -> None:
    tree = merged([file("a", 1), hardlink("b", "a"), hardlink("c", "a")], [file("a", 2)])
    assert listing(tree) == ["a (2 bytes at 2)", "b (1 bytes at 1)", "c = b"]


def test_a_lower_hardlink_keeps_the_old_inode_when_one_name_is_hidden() -> None:
    tree = merged([file("a", 1), hardlink("b", "a")], [whiteout("a"), file("a", 2)])
    assert listing(tree) == ["a (2 bytes at 2)", "b (1 bytes at 1)"]


def test_a_hardlink_means_what_its_target_is_at_that_place_of_the_archive() -> None:
    tree = merged([file("a", 1)], [hardlink("old", "a"), file("a", 2), hardlink("new", "a")])
    assert listing(tree) == ["a (2 bytes at 2)", "new = a", "old (1 bytes at 1)"]


def test_a_hardlink_to_a_symlink_shares_the_symlink() -> None:
    tree = merged([file("f", 1), symlink("s", "f"), hardlink("l", "s")])
    assert listing(tree) == ["f (1 bytes at 1)", "l -> f", "s = l"]


def test_hardlinks_to_special_files_share_them() -> None:
    assert listing(merged([fifo("p"), hardlink("q", "p")])) == ["p fifo", "q = p"]


def test_symlinks_above_the_target_are_resolved_inside_the_tree() -> None:
    tree = merged([file("usr/lib/f", 1), symlink("lib", "../../usr/lib")], [hardlink("l", "lib/f")])
    assert listing(tree) == ["l (1 bytes at 1)", "lib -> ../../usr/lib", "usr/", "usr/lib/", "usr/lib/f = l"]


def test_the_header_of_a_hardlink_does_not_change_the_inode() -> None:
    original = file("a", 1, mode=0o4755, uid=5, gid=6, mtime_ns=7, xattrs={b"user.x": b"y"})
    link = hardlink("b", "a", mode=0, uid=8, gid=9, mtime_ns=10, xattrs={b"user.z": b""})
    found = node(merged([original, link]), "b")
    assert (found.mode, found.uid, found.gid, found.mtime_ns, found.xattrs) == (0o4755, 5, 6, 7, {b"user.x": b"y"})


@pytest.mark.parametrize("there", [file("l", 9), directory("l"), symlink("l", "a"), fifo("l")])
def test_a_hardlink_replaces_what_has_its_name(there: tuple[object, ...]) -> None:
    tree = merged([file("a", 1), there], [hardlink("l", "a")])  # type: ignore[list-item]
    assert listing(tree) == ["a (1 bytes at 1)", "l = a"]


def test_a_hardlink_may_be_stated_again() -> None:
    lower = [file("a", 1), hardlink("b", "a")]
    assert listing(merged(lower, [hardlink("b", "a")])) == ["a (1 bytes at 1)", "b = a"]


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("none", "is a hardlink whose target does not exist"),
        ("none/below", "is a hardlink whose target does not exist"),
        ("f/below", "is a hardlink whose target does not exist"),
        ("dangling/f", "is a hardlink whose target does not exist"),
        ("gone", "is a hardlink whose target does not exist"),
        ("l/inside", "is a hardlink whose target does not exist"),
        ("d", "is a hardlink to a directory"),
        ("/", "is a hardlink to a directory"),
        ("", "is a hardlink to a directory"),
        ("l", "is a hardlink to itself"),
        ("here/l", "is a hardlink to itself"),
        ("loop/f", "more than 40 symlinks among its parents, or a loop of them"),
        ("../f", "its hardlink target has a '..' component"),
        ("f\0", "its hardlink target contains a NUL byte"),
        (".wh.f", "is a hardlink whose target does not exist"),
    ],
)
def test_hardlinks_that_cannot_be_made_are_refused(target: str, reason: str) -> None:
    lower = [
        file("f", 1),
        file("gone", 1),
        directory("d"),
        file("l/inside", 1),
        symlink("dangling", "nowhere"),
        symlink("here", "/"),
        symlink("loop", "loop"),
    ]
    with pytest.raises(LayerRefused) as refused:
        merged(lower, [whiteout("gone"), hardlink("l", target)])
    assert (refused.value.layer, refused.value.entry, refused.value.reason) == ("layer 2", b"l", reason)


LOWER = [directory("d"), file("d/f", 1), symlink("s", "d")]


@pytest.mark.parametrize("target", ["d/f", "s/f", "/d//f"])
@pytest.mark.parametrize("hiding", [whiteout("d/f"), whiteout("d"), opaque("d"), opaque()])
def test_a_hardlink_gets_the_lower_file_that_a_whiteout_behind_it_hides(target: str, hiding: Any) -> None:
    # containerd's test case HardlinkParentInclusion.
    tree = merged(LOWER, [hardlink("l", target), hardlink("m", "l"), hiding])
    assert [line for line in listing(tree) if line[0] in "lm"] == ["l (1 bytes at 1)", "m = l"]
    assert "d/f" not in paths(tree)


def test_a_hardlink_gets_what_its_own_layer_put_there_rather_than_what_a_whiteout_hides() -> None:
    upper = [hardlink("old", "d/f"), file("d/f", 2), hardlink("new", "d/f"), whiteout("d/f")]
    assert listing(merged(LOWER, upper)) == ["d/", "d/f (2 bytes at 2)", "new = d/f", "old (1 bytes at 1)", "s -> d"]


@pytest.mark.parametrize("hiding", [whiteout("d/f"), whiteout("d"), opaque("d"), opaque()])
def test_a_hardlink_behind_the_whiteout_of_its_target_is_refused(hiding: Any) -> None:
    reason = "is a hardlink whose target does not exist"
    assert refusal(LOWER, [hiding, hardlink("l", "d/f")]) == reason
    # Another whiteout behind it, also of the same name, changes nothing.
    with pytest.raises(LayerRefused) as refused:
        merged(LOWER, [hiding, hardlink("l", "d/f"), hiding, whiteout("s")])
    assert (refused.value.entry, refused.value.reason) == (b"l", reason)


def test_a_hardlink_to_what_no_whiteout_hides_is_refused_as_ever() -> None:
    for link, reason in (
        (hardlink("d", "d/f"), "is a hardlink whose target does not exist"),
        (hardlink("l", "d"), "is a hardlink to a directory"),
        (hardlink("l", "../d/f"), "its hardlink target has a '..' component"),
    ):
        with pytest.raises(LayerRefused) as refused:
            merged(LOWER, [link, whiteout("s")])
        assert refused.value.reason == reason
    with pytest.raises(LayerRefused) as refused:
        merged(LOWER, [hardlink("l", "d"), whiteout("d")])
    assert refused.value.reason == "is a hardlink to a directory"


def test_a_hardlink_before_its_target_is_refused() -> None:
    with pytest.raises(LayerRefused) as refused:
        merged([hardlink("a", "b"), file("b", 1)])
    assert refused.value.reason == "is a hardlink whose target does not exist"
