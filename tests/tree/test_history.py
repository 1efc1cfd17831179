"""Where bytes are and which are lost: layers applied to a tree, and what is counted of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from builder.archive.entry import Entry, Kind
from builder.tree.contents import contents
from builder.tree.entries import Entries
from builder.tree.history import History
from builder.tree.nodes import Content
from builder.tree.sums import Branch, Sums


def file(path: bytes, size: int) -> Entry:
    return Entry(path, Kind.FILE, size=size)


def directory(path: bytes) -> Entry:
    return Entry(path, Kind.DIRECTORY)


def link(path: bytes, target: bytes) -> Entry:
    return Entry(path, Kind.HARDLINK, link=target)


def history(*layers: list[Entry]) -> tuple[History, Sums]:
    made = History()
    for number, layer in enumerate(layers):
        made.apply(f"layer {number}", Entries((entry, Content(number, entry.size)) for entry in layer))
    return made, Sums(made.tree, lambda content: content.offset)


def lost(*layers: list[Entry]) -> list[tuple[str, int, bool, int, int]]:
    made, _ = history(*layers)
    return [(each.path.decode(), each.layer, each.deleted, each.size, each.files) for each in made.losses()]


def flat(branch: Branch, above: str = "") -> Iterator[tuple[str, int, int, int]]:
    path = f"{above}{branch.name.decode()}{'/' if branch.directory else ''}"
    yield path, branch.size, branch.files, branch.others
    for child in branch.children:
        yield from flat(child, path)


def test_a_whiteout_loses_what_is_below_it_and_an_opaque_marker_each_name() -> None:
    base = [file(b"a/x", 10), file(b"a/y", 5), file(b"b/z", 7), file(b"b/c/w", 1)]
    assert lost(base, [file(b".wh.a", 0), file(b"b/.wh..wh..opq", 0)]) == [
        ("a", 1, True, 15, 2),
        ("b/z", 1, True, 7, 1),
        ("b/c", 1, True, 1, 1),
    ]


def test_a_replaced_file_is_lost_in_its_old_size_and_a_restated_directory_is_not() -> None:
    assert lost([directory(b"d"), file(b"d/f", 9)], [directory(b"d"), file(b"d/f", 2)]) == [("d/f", 1, False, 9, 1)]
    assert lost([file(b"d/f", 9)], [file(b"d", 1)]) == [("d", 1, False, 9, 1)]


def test_what_has_another_name_is_lost_with_its_last_one() -> None:
    base = [file(b"f", 8), link(b"g", b"f")]
    assert lost(base, [file(b".wh.f", 0)]) == []
    assert lost(base, [file(b".wh.f", 0)], [file(b"g", 1)]) == [("g", 2, False, 8, 1)]


def test_layers_keep_what_can_still_be_seen_of_them() -> None:
    made, sums = history([file(b"f", 8), file(b"g", 1)], [file(b"f", 3)], [file(b"f", 2), file(b"f", 4)])
    assert [(each.entries, each.files, each.brought, each.kept) for each in made.layers(sums)] == [
        (2, 2, 9, 1),
        (1, 1, 3, 0),
        (2, 2, 6, 4),
    ]
    assert sums.total.layers == {0: 1, 2: 4}


def test_files_with_several_names_count_once_under_the_first() -> None:
    _, sums = history([file(b"z/f", 8), link(b"a", b"z/f"), link(b"z/g", b"a")])
    assert sums.total.size == 8
    assert dict(sums.directories())[b"z"].size == 0
    assert list(sums.files()) == [(b"a", 8, 0)]


def test_the_largest_come_first_whatever_they_are_and_wherever() -> None:
    _, sums = history([file(b"a/b/c", 50), file(b"a/d", 30), file(b"e", 40), file(b"f", 1), directory(b"g")])
    assert list(flat(sums.largest(4))) == [
        ("/", 121, 4, 2),
        ("/a/", 80, 2, 1),
        ("/a/b/", 50, 1, 0),
        ("/a/b/c", 50, 1, 0),
        ("/e", 40, 1, 0),
    ]
    assert [path for path, *_ in flat(sums.largest(10, depth=1))] == ["/", "/a/", "/e", "/f"]
    assert [path for path, *_ in flat(sums.largest(1))] == ["/", "/a/"]
    assert sums.largest_files(2) == [(b"a/b/c", 50, 0), (b"e", 40, 0)]
    assert [path for path, _ in sums.directories(1)] == [b"", b"a", b"g"]


@pytest.mark.heavy
def test_a_tree_of_two_thousand_levels_is_summed() -> None:
    _, sums = history([file(b"d/" * 2000 + b"f", 3)])
    assert sums.total.size == 3
    assert len(list(sums.directories())) == 2001
    branch = sums.largest(5000)
    depth = 0
    while branch.children:
        branch, depth = branch.children[0], depth + 1
    assert depth == 2001


def test_efficiency_is_what_dive_counts() -> None:
    # The figures are those of dive's own test (dive/filetree/efficiency_test.go).
    made, _ = history(
        [file(b"etc/nginx/nginx.conf", 2000), file(b"etc/nginx/public", 3000)],
        [file(b"etc/nginx/nginx.conf", 5000), file(b"etc/athing", 10000)],
        [file(b"etc/.wh.nginx", 0)],
    )
    assert (made.efficiency.score, made.efficiency.repeated) == (0.75, 7000)


def test_dive_takes_a_removed_file_for_nothing_and_a_removed_directory_for_what_was_in_it() -> None:
    base = [directory(b"a"), file(b"a/x", 10), file(b"b", 4)]
    made, _ = history(base, [file(b".wh.b", 0)])
    assert (made.efficiency.score, made.efficiency.repeated) == (10 / 14, 4)
    # Its files are stated once, and so is the whiteout: no waste, as dive sees it.
    made, _ = history(base, [file(b".wh.a", 0)])
    assert (made.efficiency.score, made.efficiency.repeated) == (1.0, 0)
    made, _ = history(base, [file(b".wh.a", 0)], base, [file(b".wh.a", 0), file(b"a/.wh.x", 0)])
    # a: 10 + 10; a/x: 10, 10 and 0 for what goes with a; b: 4 + 4
    assert (made.efficiency.score, made.efficiency.repeated) == (14 / 48, 48)


def test_dive_counts_a_directory_only_where_it_states_nothing_in_it() -> None:
    made, _ = history(
        [directory(b"d"), file(b"d/f", 6)], [directory(b"d"), file(b"d/f", 6), file(b"g/.wh..wh..opq", 0)]
    )
    assert (made.efficiency.score, made.efficiency.repeated) == (0.5, 12)
    assert history()[0].efficiency.score == 1.0


def test_twice_in_one_layer_counts_as_the_last_time() -> None:
    made, _ = history([file(b"f", 6), file(b"./f", 2)])
    assert (made.efficiency.score, made.efficiency.repeated) == (1.0, 0)
    assert [each.size for each in made.losses()] == [6]


def test_contents_name_the_largest_by_path_and_count_what_was_taken_away() -> None:
    made, _ = history([file(b"a/b", 50), file(b"a/\xff", 7), file(b"c", 40)], [file(b".wh.c", 0), file(b"d", 1)])
    found = contents(made.tree)
    assert (found.size, found.files, found.brought, found.wasted) == (58, 3, 98, 40)
    assert list(found.largest.items()) == [("/a/", 57), ("/a/b", 50), ("/a/\udcff", 7), ("/d", 1)]
