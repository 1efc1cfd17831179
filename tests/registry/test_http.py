"""What goes over the wire: redirects, proxies, and where each is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.asking import get
from support.proxy import Answer, Fault, Proxy
from support.registry import Registry

from builder.errors import SourceUnreadable
from builder.registry.address import Address, is_loopback
from builder.registry.http import Http, redirected
from builder.registry.proxy import proxy_for


@pytest.fixture(autouse=True)
def _home(home: Path) -> None:
    pass


def redirect(proxy: Proxy, path: str, target: str, status: int = 307) -> None:
    proxy.faults.append(Fault(f"GET {path}$", answer=Answer(status, {"Location": target}, b"")))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("target", ["/v2/", "../v2/", "http://{host}/v2/", "//{host}/v2/"])
def test_a_redirect_on_the_same_host_keeps_authorization(proxy: Proxy, http: Http, status: int, target: str) -> None:
    redirect(proxy, "/a/b", target.format(host=proxy.host), status)
    assert get(http, f"http://{proxy.host}/a/b", Authorization="Bearer x") == 200
    assert [each.headers.get("Authorization") for each in proxy.requests] == ["Bearer x"] * 2


def test_authorization_does_not_come_back_by_way_of_another_host(registry: Registry, proxy: Proxy, http: Http) -> None:
    other = Proxy(registry.host)
    other.start("127.0.0.2")
    try:
        redirect(proxy, "/a", f"http://{other.host}/b")
        redirect(other, "/b", f"http://{proxy.host}/v2/")
        assert get(http, f"http://{proxy.host}/a", Authorization="Bearer x") == 200
    finally:
        other.stop()
    assert [each.headers.get("Authorization") for each in proxy.requests] == ["Bearer x", None]
    assert [each.headers.get("Authorization") for each in other.requests] == [None]


def test_another_port_is_another_host(registry: Registry, proxy: Proxy, http: Http) -> None:
    other = Proxy(registry.host)
    other.start()
    try:
        redirect(proxy, "/a", f"http://{other.host}/v2/")
        assert get(http, f"http://{proxy.host}/a", Authorization="Bearer x") == 200
    finally:
        other.stop()
    assert [each.headers.get("Authorization") for each in other.requests] == [None]


def test_cookies_are_not_kept(proxy: Proxy, http: Http) -> None:
    proxy.faults.append(Fault("GET /a", answer=Answer(200, {"Set-Cookie": "a=b; Path=/"}, b"")))
    assert [get(http, f"http://{proxy.host}/{path}") for path in ("a", "v2/")] == [200, 200]
    assert [each.headers.get("Cookie") for each in proxy.requests] == [None, None]


def test_redirects_in_a_circle_end(proxy: Proxy, http: Http) -> None:
    redirect(proxy, "/a", "/a")
    with pytest.raises(SourceUnreadable, match="redirects more than 5 times"):
        get(http, f"http://{proxy.host}/a")


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://example.com/", "http://[", "http://a:b/", "http://a:99999/"]
)
def test_a_redirect_to_what_is_no_web_address_is_refused(proxy: Proxy, http: Http, target: str) -> None:
    redirect(proxy, "/a", target)
    with pytest.raises(SourceUnreadable, match="redirects to what is no"):
        get(http, f"http://{proxy.host}/a")


@given(st.text(alphabet="htps:/?#[]@.a0%\\ é", max_size=30) | st.text(max_size=30))
def test_wherever_a_redirect_leads_it_is_a_web_address_or_refused(target: str) -> None:
    try:
        address = redirected(Address.parse("https://registry.example/v2/"), target)
    except SourceUnreadable:
        return
    assert address.scheme == "https"
    assert address.host
    assert 0 < address.port < 65536
    assert "@" not in address.authority
    assert re.fullmatch(r"/[!-~]*", address.target)


def test_a_user_in_a_redirect_is_not_used(proxy: Proxy, http: Http) -> None:
    redirect(proxy, "/a", f"http://me:secret@{proxy.host}/v2/")
    assert get(http, f"http://{proxy.host}/a") == 200
    assert "Authorization" not in proxy.requests[1].headers


def test_a_password_in_the_proxy_setting_is_sent_to_the_proxy_alone(
    proxy: Proxy, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://me:secret@{proxy.host}")
    assert get(http, "http://registry.invalid/v2/") == 200
    (request,) = proxy.requests
    assert request.path == "http://registry.invalid/v2/"
    assert request.headers["proxy-authorization"] == "Basic bWU6c2VjcmV0"


def test_no_proxy_stands_before_loopback(proxy: Proxy, http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert get(http, f"http://{proxy.host}/v2/") == 200


@pytest.mark.parametrize(
    "no_proxy",
    [
        "registry.invalid",
        "example.com, .invalid",
        "registry.invalid:80",
        "a.example, *.INVALID",
        "*.invalid:80",
        "a.example,*",
    ],
)
def test_no_proxy_is_heeded(proxy: Proxy, http: Http, monkeypatch: pytest.MonkeyPatch, no_proxy: str) -> None:
    monkeypatch.setenv("http_proxy", f"http://{proxy.host}")
    monkeypatch.setenv("no_proxy", no_proxy)
    with pytest.raises(SourceUnreadable, match="the name is not known"):
        get(http, "http://registry.invalid/v2/")
    assert proxy.requests == []


def test_no_proxy_exempts_no_other_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "*.example.com,*example.org,a.*")
    for host in ("example.com", "an-example.com", "an-example.org", "a.b"):
        assert proxy_for(Address("https", host, 443, "/")) == "http://proxy.example:3128"


def test_no_proxy_may_name_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "example.com, 10.0.0.0/8,x/y,fd00::/8")
    hosts = ("10.255.255.1", "11.0.0.1", "fd00::1", "fe80::1", "example.com", "example.org")
    assert [proxy_for(Address("https", host, 443, "/")) is None for host in hosts] == [
        True,
        False,
        True,
        False,
        True,
        False,
    ]


@pytest.mark.parametrize("setting", ["http://me:secret@[", "gopher://me:secret@host", "http://me:secret@host:port"])
def test_a_proxy_setting_that_is_no_url_is_said_and_not_repeated(
    proxy: Proxy, http: Http, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.setenv("http_proxy", setting)
    with pytest.raises(SourceUnreadable, match="a proxy setting of the environment") as caught:
        get(http, "http://registry.invalid/v2/")
    assert "secret" not in f"{caught.value} {caught.value.__cause__}"


@pytest.mark.parametrize(
    "setting", ["socks5://127.0.0.1:1080", "socks5h://me:secret@host:1", "gopher://me:secret@host"]
)
def test_a_proxy_of_another_kind_is_said_to_be_that(http: Http, monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    monkeypatch.setenv("all_proxy", setting)
    with pytest.raises(SourceUnreadable, match="names another proxy than one of http:// or https://") as caught:
        get(http, "http://registry.invalid/v2/")
    assert "secret" not in f"{caught.value} {caught.value.__cause__}"


def test_a_proxy_that_does_not_run_is_to_be_looked_at(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with pytest.raises(SourceUnreadable, match=r"connection refused through the proxy .*; check HTTPS_PROXY"):
        get(http, "http://registry.invalid/v2/")


def test_a_refusal_elsewhere_is_not_taken_for_the_registrys(registry: Registry, proxy: Proxy, http: Http) -> None:
    other = Proxy(registry.host)
    other.start("127.0.0.2")
    other.faults.append(Fault("/b", answer=Answer(403, {}, b"")))
    try:
        redirect(proxy, "/a", f"http://{other.host}/b")
        with pytest.raises(SourceUnreadable) as caught:
            get(http, f"http://{proxy.host}/a")
    finally:
        other.stop()
    assert caught.value.where == other.host
    advice = "name the image there, if that is a registry, or check the network and its proxy"
    assert caught.value.reason == f"answered 403 where {proxy.host} redirects to; {advice}"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_the_loopback_has_these_names(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["example.com", "localhost.example.com", "128.0.0.1", "127.0.0.1.example.com", "", "::2"]
)
def test_what_only_looks_like_the_loopback_is_none(host: str) -> None:
    assert not is_loopback(host)


def test_an_origin_is_scheme_host_and_port() -> None:
    assert Address.parse("https://Example.com/x").origin == Address.parse("https://example.com:443/y?z").origin
    urls = ("https://a", "http://a", "https://b", "https://a:5000")
    assert len({Address.parse(f"{each}/").origin for each in urls}) == 4
