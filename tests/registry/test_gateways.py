"""A registry that sends everybody to another one, which wants tokens of its own."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.images import layout_files
from support.proxy import Answer, Fault, Proxy
from support.raw import RawRegistry, answer
from support.registries import IMAGE, TokenRegistry
from support.registry import Registry
from support.remote import read_image

from builder.errors import SourceUnreadable
from builder.registry import RegistryAccess
from builder.registry.address import Address
from builder.registry.http import Http
from builder.sources.access import Access

LAYERS = list(layout_files(IMAGE)[1][0].layers)


@pytest.fixture
def gateway(tokens: TokenRegistry) -> Iterator[RawRegistry]:
    """One that sends who asks for anything to the registry that wants tokens."""

    def elsewhere(line: str) -> list[bytes]:
        return [answer(307, b"", f"Location: http://{tokens.registry.host}{line.partition(' ')[2]}")]

    started = RawRegistry(IMAGE)
    started.start("127.0.0.2")
    started.odd["/v2/."] = elsewhere
    yield started
    started.stop()


@pytest.fixture
def access(tokens: TokenRegistry, gateway: RawRegistry, tmp_path: Path) -> Access:
    """With a password for the gateway."""
    password = b64encode(f"{tokens.tokens.user}:{tokens.tokens.password}".encode()).decode()
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {gateway.host: {"auth": password}}}))
    return Access(keep=False, registry=RegistryAccess(tmp_path / "auth.json"))


def test_a_token_that_anybody_gets_is_fetched_and_the_password_goes_nowhere(
    tokens: TokenRegistry, gateway: RawRegistry, access: Access
) -> None:
    """So lscr.io works."""
    assert read_image(f"docker://{gateway.host}/public/image", access) == LAYERS
    assert tokens.tokens.asked == [("GET", {"service": ["test registry"], "scope": ["repository:public/image:pull"]})]
    assert not any(b"\r\nAuthorization" in head for head in gateway.heads)


def test_what_nobody_gets_there_is_to_be_named_there(
    tokens: TokenRegistry, gateway: RawRegistry, access: Access
) -> None:
    with pytest.raises(SourceUnreadable, match=f"answered 401 where {gateway.host} redirects to; name the image there"):
        read_image(f"docker://{gateway.host}/secret/image", access)
    assert all("account" not in form for _, form in tokens.tokens.asked)


def test_a_token_does_not_go_on_to_where_who_wanted_it_redirects(registry: Registry, proxy: Proxy, http: Http) -> None:
    """Not even back to who sent us there."""
    other = Proxy(registry.host)
    other.start("127.0.0.2")
    try:
        proxy.faults.append(Fault("GET /a", answer=Answer(307, {"Location": f"http://{other.host}/b"}, b"")))
        other.faults.append(Fault("GET /b", 1, answer=Answer(401, {"WWW-Authenticate": "Bearer"}, b"")))
        other.faults.append(Fault("GET /b", 1, answer=Answer(307, {"Location": f"http://{proxy.host}/v2/"}, b"")))
        address = Address.parse(f"http://{proxy.host}/a")
        http.request("GET", address, {}, stranger=lambda _address, _challenges: "Bearer x").discard()
    finally:
        other.stop()
    assert [each.headers.get("Authorization") for each in other.requests] == [None, "Bearer x"]
    assert [each.headers.get("Authorization") for each in proxy.requests] == [None, None]
