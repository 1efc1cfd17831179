"""Challenges and tokens in every spelling that registries and token servers have for them."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest
from support.odd import always, reads, refused, wants_token
from support.raw import RawRegistry, answer

from builder.sources.access import Access


@pytest.mark.parametrize(
    "challenge",
    [
        "Www-authenticate: bearer REALM={realm}",
        'WWW-Authenticate: Bearer realm="{realm}", service="", scope=""',
        'WWW-Authenticate: Bearer error="invalid_token",realm="{realm}",error_description="say \\"please\\""',
        'WWW-Authenticate: Basic realm="x", Bearer realm="{realm}"',
        'WWW-Authenticate: Negotiate\nWWW-Authenticate: Bearer realm="{realm}"\nWWW-Authenticate: Basic realm="x"',
        'WWW-Authenticate: Bearer, Bearer realm="{realm}"',
        'WWW-Authenticate: Bearer realm="{realm}?account=x"',
    ],
)
def test_challenges_are_met_in_every_spelling(raw: RawRegistry, access: Access, challenge: str) -> None:
    wants_token(raw, "t", challenge)
    assert reads(raw, access) == []
    assert "scope=repository%3Aimage%3Apull" in raw.lines("/token")[0]


def test_a_challenge_with_an_unquoted_url_is_understood(raw: RawRegistry, access: Access) -> None:
    wants_token(raw, "t", "WWW-Authenticate: Bearer realm={realm},service=x")
    assert reads(raw, access) == []


LIFETIMES: list[object] = ["300", "soon", -1, 1e300, 10**400, True, [], 0.5]


@pytest.mark.parametrize(
    "said",
    [
        {"token": "t"},
        {"access_token": "t"},
        {"token": "", "access_token": "t"},
        {"token": None, "access_token": "t", "expires_in": None},
        *({"token": "t", "expires_in": value} for value in LIFETIMES),
        {"token": "t", "issued_at": 5, "refresh_token": []},
    ],
)
def test_tokens_are_read_in_every_spelling(raw: RawRegistry, access: Access, said: object) -> None:
    wants_token(raw, "t")
    raw.odd["/token"] = always(answer(200, json.dumps(said).encode(), "Content-Type: text/plain"))
    assert reads(raw, access) == []


@pytest.mark.parametrize("status", [400, 401])
def test_a_token_that_is_refused_without_a_challenge_is_replaced(raw: RawRegistry, access: Access, status: int) -> None:
    """As public.ecr.aws refuses one that has expired."""
    wants_token(raw, "new")
    raw.odd["/v2/$"] = always(answer(401, b"", f'WWW-Authenticate: Bearer realm="http://{raw.host}/token"'))
    tokens = iter(["old", "new"])
    raw.odd["/token"] = lambda _: [answer(200, json.dumps({"token": next(tokens)}).encode())]
    guarded = raw.odd["/v2/image/"]

    def bare(line: str) -> Iterable[bytes]:
        old = b"\r\nAuthorization: Bearer old\r\n" in raw.heads[-1]
        return [answer(status)] if old else guarded(line)

    raw.odd["/v2/image/"] = bare
    assert reads(raw, access) == []
    assert len(raw.lines("/token")) == 2


def test_what_is_malformed_without_a_token_is_malformed(raw: RawRegistry, access: Access) -> None:
    raw.odd["/v2/image/"] = always(answer(400))
    assert "answered 400 Bad Request, which registries should not" in str(refused(raw, access))
    assert len(raw.lines("GET .*manifests")) == 1
