"""Names out of archives become components, or are refused."""

from __future__ import annotations

import pytest

from builder.tree.paths import Refusal, components


@pytest.mark.parametrize("raw", [b"a/b", b"/a/b", b"./a/b", b"//a//b//", b"a/./b/.", b"/./a/b/", b"././a/b"])
def test_spellings_of_one_path_are_one_path(raw: bytes) -> None:
    assert components(raw) == (b"a", b"b")


@pytest.mark.parametrize("raw", [b"", b".", b"./", b"/", b"//", b"/./."])
def test_the_root_has_no_components(raw: bytes) -> None:
    assert components(raw) == ()


@pytest.mark.parametrize("raw", [b"..", b"../a", b"a/..", b"a/../b", b"/..", b"a/b/../../../c", b"./.."])
def test_dot_dot_is_refused_wherever_it_stands(raw: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        components(raw)
    assert refused.value.reason == "has a '..' component"


@pytest.mark.parametrize("raw", [b"...", b"..a", b"a..", b". .", b" ", b"\xff\n", b"a\\..\\b", b"-"])
def test_odd_names_are_names(raw: bytes) -> None:
    assert components(raw) == (raw,)


@pytest.mark.parametrize("raw", [b"a\0b", b"\0", b"a/\0/b"])
def test_nul_is_refused(raw: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        components(raw)
    assert refused.value.reason == "contains a NUL byte"


def test_a_component_has_up_to_255_bytes() -> None:
    assert components(b"a/" + b"n" * 255) == (b"a", b"n" * 255)
    with pytest.raises(Refusal) as refused:
        components(b"a/" + b"n" * 256 + b"/b")
    assert refused.value.reason == "has a component of more than 255 bytes"


def test_a_path_has_up_to_4095_bytes_in_up_to_2048_components() -> None:
    assert components(b"d/" * 2048) == (b"d",) * 2048
    with pytest.raises(Refusal) as refused:
        components(b"d/" * 2048 + b"d")
    assert refused.value.reason == "is longer than 4095 bytes"


def test_slashes_and_dots_do_not_count_towards_the_length() -> None:
    assert components(b"/./" * 4096 + b"a") == (b"a",)
