"""What registries may write into WWW-Authenticate, and what of it is understood."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.registry.challenges import Challenge, parse_challenges

HUB = 'Bearer realm="https://auth.docker.io/token",service="registry.docker.io"'
HUB_PARAMETERS = {"realm": "https://auth.docker.io/token", "service": "registry.docker.io"}


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", ()),
        (HUB, (Challenge("bearer", HUB_PARAMETERS),)),
        ("BASIC Realm=plain", (Challenge("basic", {"realm": "plain"}),)),
        ('Basic realm="a \\"b\\" \\\\, c"', (Challenge("basic", {"realm": 'a "b" \\, c'}),)),
        ("Negotiate", (Challenge("negotiate"),)),
        ("Negotiate YII=, Basic realm=x", (Challenge("negotiate"), Challenge("basic", {"realm": "x"}))),
        (f"{HUB}, Basic realm=x", (Challenge("bearer", HUB_PARAMETERS), Challenge("basic", {"realm": "x"}))),
        ('Bearer realm = "a" , scope="r:a:x,y"', (Challenge("bearer", {"realm": "a", "scope": "r:a:x,y"}),)),
        ('Basic realm="first", realm="second"', (Challenge("basic", {"realm": "first"}),)),
        (' ,, Basic realm="a",,', (Challenge("basic", {"realm": "a"}),)),
        ('Basic realm="not closed', (Challenge("basic"),)),
        ('realm="no scheme"', ()),
        ('=, Basic realm="a"', ()),
    ],
)  # fmt: skip
def test_challenges_are_read_as_servers_write_them(header: str, expected: tuple[Challenge, ...]) -> None:
    assert parse_challenges(header) == expected


@pytest.mark.heavy
@given(st.text(alphabet='aB1 ,="\\\t~/+é', max_size=60) | st.text(max_size=60))
def test_any_header_is_read_to_some_end(header: str) -> None:
    for challenge in parse_challenges(header):
        assert challenge.scheme == challenge.scheme.lower() != ""
        assert all(name == name.lower() for name in challenge.parameters)


_NAMES = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)


@pytest.mark.heavy
@given(st.lists(st.tuples(_NAMES, st.dictionaries(_NAMES, st.text(max_size=20), max_size=4)), max_size=4))
def test_what_was_written_is_read(challenges: list[tuple[str, dict[str, str]]]) -> None:
    def quoted(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    header = ", ".join(
        f"{scheme} " + ", ".join(f"{name}={quoted(value)}" for name, value in parameters.items())
        for scheme, parameters in challenges
    )
    assert parse_challenges(header) == tuple(Challenge(scheme, parameters) for scheme, parameters in challenges)


def test_a_header_without_end_is_cut() -> None:
    header = ", ".join(f"s{number} a=b" for number in range(100_000))
    assert 0 < len(parse_challenges(header)) < 2000
