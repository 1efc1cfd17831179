"""The one walk over symlinks: by names alone, as archives are walked; other places have tests of their own."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from builder.errors import UnsafeFile
from builder.files.links import MAX_SYMLINKS, follow


def ends(path: str, links: Mapping[str, str] | None = None) -> str:
    return follow(path, "it", (links or {}).get)


@pytest.mark.parametrize(
    ("path", "links", "end"),
    [
        ("a", {}, "a"),
        ("./a//b/.", {}, "a/b"),
        ("a/../b", {}, "b"),
        ("a/..", {}, ""),
        ("", {}, ""),
        ("a", {"a": "b/c"}, "b/c"),
        ("a/x", {"a": "b"}, "b/x"),
        ("d/a", {"d/a": "../b"}, "b"),
        ("d/a/x", {"d/a": ".."}, "x"),
        ("a", {"a": "b", "b": "c", "c": "d/./e"}, "d/e"),
        ("a/b", {"a": "c", "c/b": "../a/d"}, "c/d"),
        ("a/b", {"a": ""}, "b"),
    ],
)
def test_names_lead_where_the_kernel_would_go(path: str, links: dict[str, str], end: str) -> None:
    assert ends(path, links) == end


@pytest.mark.parametrize(
    ("path", "links"),
    [("..", {}), ("a/../..", {}), ("a", {"a": ".."}), ("d/a", {"d/a": "../../x"}), ("a", {"a": "/etc/passwd"})],
)
def test_what_leads_out_is_refused(path: str, links: dict[str, str]) -> None:
    with pytest.raises(UnsafeFile, match=r"^it: a symlink leads out"):
        ends(path, links)


def test_links_end_where_the_kernels_patience_does() -> None:
    chain = {str(number): str(number + 1) for number in range(MAX_SYMLINKS)}
    assert ends("0", chain) == str(MAX_SYMLINKS)
    with pytest.raises(UnsafeFile, match=r"^it: more than 40 links follow each other"):
        ends("x", {"x": "0", **chain})
    with pytest.raises(UnsafeFile, match="follow each other"):
        ends("a", {"a": "a"})
