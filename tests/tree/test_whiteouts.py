"""Whiteouts hide what lower layers left, and only that."""

from __future__ import annotations

import itertools

import pytest
from support.entries import (
    character,
    directory,
    entry,
    fifo,
    file,
    hardlink,
    merged,
    metadata,
    node,
    opaque,
    symlink,
    whiteout,
)
from support.trees import listing, paths

from builder.archive.entry import Entry, Kind
from builder.errors import LayerRefused
from builder.tree.nodes import Content

LOWER = [
    directory("etc"),
    file("etc/hosts", 1),
    file("etc/passwd", 1),
    directory("etc/ssl"),
    file("etc/ssl/cert", 1),
]


def test_a_whiteout_hides_a_file() -> None:
    assert paths(merged(LOWER, [whiteout("etc/hosts")])) == ["etc/", "etc/passwd", "etc/ssl/", "etc/ssl/cert"]


def test_a_whiteout_hides_a_directory_with_all_below() -> None:
    assert paths(merged(LOWER, [whiteout("etc/ssl")])) == ["etc/", "etc/hosts", "etc/passwd"]


def test_a_whiteout_hides_a_symlink_and_not_what_it_points_to() -> None:
    lower = [*LOWER, symlink("certs", "etc/ssl")]
    assert paths(merged(lower, [whiteout("certs")])) == paths(merged(LOWER))


def test_a_whiteout_hides_one_name_of_an_inode() -> None:
    lower = [file("a", 1), hardlink("b", "a")]
    assert listing(merged(lower, [whiteout("a")])) == ["b (1 bytes at 1)"]


def test_a_whiteout_at_the_root_hides_at_the_root() -> None:
    assert paths(merged(LOWER, [whiteout("etc")])) == []


@pytest.mark.parametrize("path", ["nothing", "etc/nothing", "no/such/directory", "etc/hosts/below", "etc/ssl/x/y"])
def test_a_whiteout_of_what_does_not_exist_hides_nothing(path: str) -> None:
    assert paths(merged(LOWER, [whiteout(path)])) == paths(merged(LOWER))


def test_a_whiteout_makes_no_parents() -> None:
    assert paths(merged([], [whiteout("a/b/c"), opaque("d/e")])) == []


def test_an_opaque_marker_empties_the_lower_directory_and_keeps_it() -> None:
    tree = merged([directory("etc", mode=0o700, uid=3), file("etc/hosts")], [opaque("etc")])
    assert paths(tree) == ["etc/"]
    assert (node(tree, "etc").mode, node(tree, "etc").uid) == (0o700, 3)


def test_an_opaque_marker_at_the_root_empties_all() -> None:
    assert listing(merged(LOWER, [file("new", 2), opaque()])) == ["new (2 bytes at 2)"]


def test_an_opaque_marker_on_a_missing_directory_or_a_file_hides_nothing() -> None:
    upper = [opaque("none"), opaque("etc/hosts"), opaque("etc/hosts/below")]
    assert paths(merged(LOWER, upper)) == paths(merged(LOWER))


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_an_opaque_marker_keeps_entries_of_its_own_layer_in_any_order(order: tuple[int, ...]) -> None:
    upper = [directory("etc", mode=0o711), opaque("etc"), file("etc/new", 2)]
    tree = merged(LOWER, [upper[i] for i in order])
    assert listing(tree) == ["etc/", "etc/new (2 bytes at 2)"]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_whiteout_keeps_a_name_of_its_own_layer_and_a_new_directory_starts_empty(order: tuple[int, ...]) -> None:
    upper = [whiteout("etc"), directory("etc", mode=0o711), file("etc/hosts", 2)]
    tree = merged(LOWER, [upper[i] for i in order])
    assert listing(tree) == ["etc/", "etc/hosts (2 bytes at 2)"]
    assert node(tree, "etc").mode == 0o711


def test_a_whiteout_hides_all_lower_layers_and_no_later_one() -> None:
    tree = merged([file("a", 1)], [file("a", 2), file("b", 2)], [whiteout("a"), whiteout("b")], [file("a", 4)])
    assert listing(tree) == ["a (4 bytes at 4)"]


@pytest.mark.parametrize("swapped", [False, True])
def test_a_whiteout_below_something_that_is_hidden_too_does_no_harm(swapped: bool) -> None:
    upper = [whiteout("etc/ssl"), whiteout("etc/ssl/cert"), opaque("etc/ssl")]
    assert paths(merged(LOWER, upper[::-1] if swapped else upper)) == ["etc/", "etc/hosts", "etc/passwd"]


def test_a_whiteout_is_known_by_its_name_whatever_its_type() -> None:
    lower = [file(name) for name in "abcdef"]
    upper = [
        directory(".wh.a/"),
        symlink(".wh.b", "x"),
        hardlink(".wh.c", "nowhere"),
        character(".wh.d", 0, 0),
        fifo(".wh.e"),
        file(".wh.f", 9),
    ]
    assert paths(merged(lower, upper)) == []


def test_a_whiteout_of_the_longest_name_hides_it() -> None:
    name, above = "n" * 255, "d" * 200
    assert paths(merged([file(name), file(f"{above}/{name}")], [whiteout(name), whiteout(f"{above}/{name}")])) == [
        f"{above}/"
    ]
    deep = "/".join(["d" * 254] * 15 + ["e" * 20, "f" * 249])
    assert len(deep) == 4095
    assert deep not in paths(merged([file(deep)], [whiteout(deep)]))
    with pytest.raises(LayerRefused) as refused:
        merged([], [whiteout("n" * 256)])
    assert refused.value.reason == "has a component of more than 255 bytes"


def test_a_name_with_wh_in_the_middle_is_a_name() -> None:
    assert paths(merged([file("a.wh.b"), file("wh.c"), file(".whd")])) == [".whd", "a.wh.b", "wh.c"]


def test_a_device_0_0_is_a_device() -> None:
    assert listing(merged([file("a")], [character("a", 0, 0)])) == ["a character 0:0"]


USR_MERGE = [directory("usr"), directory("usr/lib"), file("usr/lib/libc", 1), symlink("lib", "usr/lib")]


def test_symlinks_above_a_whiteout_are_resolved_inside_the_tree() -> None:
    assert paths(merged(USR_MERGE, [whiteout("lib/libc")])) == ["lib", "usr/", "usr/lib/"]


def test_an_opaque_marker_behind_a_symlink_empties_what_that_points_to() -> None:
    upper = [opaque("lib"), file("lib/new", 2)]
    assert listing(merged(USR_MERGE, upper)) == ["lib -> usr/lib", "usr/", "usr/lib/", "usr/lib/new (2 bytes at 2)"]


@pytest.mark.parametrize("target", ["../../../usr/lib", "/usr/lib", "/../usr/./lib/", "usr//lib"])
def test_symlinks_above_a_whiteout_never_leave_the_tree(target: str) -> None:
    lower = [*USR_MERGE[:3], symlink("lib", target)]
    assert paths(merged(lower, [whiteout("lib/libc")])) == ["lib", "usr/", "usr/lib/"]


@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize("marker", [opaque("lib"), whiteout("lib/libc")], ids=["opaque", "whiteout"])
def test_a_marker_in_a_directory_that_replaces_a_symlink_spares_what_that_pointed_to(
    marker: tuple[Entry, Content], position: int
) -> None:
    # What overlayfs writes after `rm lib; mkdir lib`.
    upper = [directory("lib"), file("lib/own", 2)]
    upper.insert(position, marker)
    tree = merged(USR_MERGE, upper)
    assert listing(tree) == ["lib/", "lib/own (2 bytes at 2)", "usr/", "usr/lib/", "usr/lib/libc (1 bytes at 1)"]


@pytest.mark.parametrize("swapped", [False, True])
def test_a_symlink_stated_again_does_not_keep_a_whiteout_from_what_it_leads_to(swapped: bool) -> None:
    upper = [symlink("lib", "usr/lib"), whiteout("lib/libc")]
    assert paths(merged(USR_MERGE, upper[::-1] if swapped else upper)) == ["lib", "usr/", "usr/lib/"]


@pytest.mark.parametrize("swapped", [False, True])
def test_a_whiteout_behind_a_symlink_that_is_hidden_too_spares_what_that_pointed_to(swapped: bool) -> None:
    upper = [whiteout("lib"), whiteout("lib/libc")]
    assert paths(merged(USR_MERGE, upper[::-1] if swapped else upper)) == ["usr/", "usr/lib/", "usr/lib/libc"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (".wh.", "is a whiteout of nothing"),
        (".wh..", "is a whiteout of ."),
        (".wh...", "is a whiteout of .."),
        (".wh..wh.x", "is a whiteout of a whiteout"),
        (".wh..wh.", "is a whiteout of a whiteout"),
        (".wh..wh..opqx", "is a whiteout of a whiteout"),
    ],
)
@pytest.mark.parametrize("above", ["", "etc/", "none/"])
def test_whiteouts_that_mean_nothing_are_refused(above: str, name: str, reason: str) -> None:
    with pytest.raises(LayerRefused) as refused:
        merged(LOWER, [file(above + name)])
    assert (refused.value.layer, refused.value.entry) == ("layer 2", (above + name).encode())
    assert refused.value.reason == reason


@pytest.mark.parametrize("path", ["../../x/.wh.y", "etc/../.wh.y", ".wh.a\0b"])
def test_unsafe_whiteouts_are_refused_before_anything_is_hidden(path: str) -> None:
    with pytest.raises(LayerRefused) as refused:
        merged([file(path)])
    assert refused.value.entry == path.encode()


@pytest.mark.parametrize("path", [".wh.a/b", "etc/.wh.a/b", "etc/.wh..wh..opq/b", "etc/.wh.a/.wh.b"])
def test_what_lies_below_a_whiteout_is_refused(path: str) -> None:
    with pytest.raises(LayerRefused) as refused:
        merged([file(path)])
    assert refused.value.reason == "lies below a whiteout, as if that were a directory"


def test_a_loop_of_symlinks_above_a_whiteout_is_refused() -> None:
    with pytest.raises(LayerRefused) as refused:
        merged([symlink("a", "b"), symlink("b", "a")], [whiteout("a/x")])
    assert (refused.value.layer, refused.value.entry) == ("layer 2", b"a/.wh.x")
    assert refused.value.reason == "more than 40 symlinks among its parents, or a loop of them"


AUFS = [
    file(".wh..wh.aufs"),
    directory(".wh..wh.orph"),
    file(".wh..wh.orph/left", 1),
    directory(".wh..wh.plnk"),
    file(".wh..wh.plnk/12.34", 7),
    hardlink(".wh..wh.plnk/90.12", ".wh..wh.plnk/12.34"),
]


def test_what_aufs_kept_for_itself_is_not_in_the_tree() -> None:
    assert paths(merged([*AUFS, file("a")])) == ["a"]


def test_hardlinks_to_what_aufs_kept_are_names_of_one_file() -> None:
    tree = merged([*AUFS, hardlink("a", ".wh..wh.plnk/12.34"), hardlink("b", "/.wh..wh.plnk/12.34")])
    assert listing(tree) == ["a (7 bytes at 7)", "b = a"]


def test_a_hardlink_to_what_aufs_did_not_keep_is_refused() -> None:
    with pytest.raises(LayerRefused) as refused:
        merged([*AUFS, hardlink("a", ".wh..wh.plnk/56.78")])
    assert refused.value.reason == "is a hardlink whose target does not exist"


def test_an_entry_that_is_refused_later_is_blamed_itself() -> None:
    with pytest.raises(LayerRefused) as refused:
        merged(USR_MERGE, [whiteout("lib/libc"), entry("../x", Kind.FILE)])
    assert refused.value.entry == b"../x"


@pytest.mark.parametrize("marker", [opaque("link"), whiteout("link/f")], ids=["opaque", "whiteout"])
@pytest.mark.parametrize("link_first", [True, False])
def test_a_whiteout_behind_a_link_of_its_own_layer_hides_nothing(
    marker: tuple[Entry, Content], link_first: bool
) -> None:
    """There was nothing behind that name; umoci and containerd follow the link, if it stands before the whiteout."""
    upper = [symlink("link", "d"), marker]
    tree = merged([file("d/f", 1)], upper if link_first else upper[::-1])
    assert listing(tree) == ["d/", "d/f (1 bytes at 1)", "link -> d"]


@pytest.mark.parametrize("swapped", [False, True])
def test_a_directory_that_is_hidden_and_not_stated_has_nothing_of_the_lower_one(swapped: bool) -> None:
    """umoci keeps its mode, and containerd removes what the layer has put there, each if the whiteout comes last."""
    upper = [file("a/new", 2), whiteout("a")]
    tree = merged([directory("a", mode=0o700, uid=3), file("a/old", 1)], upper[::-1] if swapped else upper)
    assert listing(tree) == ["a/", "a/new (2 bytes at 2)"]
    assert metadata(node(tree, "a")) == (0o755, 0, 0, 0, {})
