"""Where redirects lead: signatures cover the very spelling of a URL, so that is what goes over the wire."""

from __future__ import annotations

import pytest
from support.odd import BLOB, IMAGE, MADE, always, reads, refused
from support.raw import RawRegistry, answer

from builder.errors import SourceUnreadable
from builder.sources.access import Access

TARGETS = [
    "/blob%2fa%c3%a9?sig=a%2bb%2F&X-Amz-Credential=A%2f2026%2fus&e=%7e~",
    "/a/./b/../c//d?x=/../&y=?",
    "/a?",
    "/a;b=c,d!$&'()*+@:|^`{}\"<>\\[]?q={}|\\^`\"<>[]'",
    "/%zz%?%",
]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("elsewhere", [True, False])
def test_the_target_of_a_redirect_goes_over_the_wire_as_it_is(
    raw: RawRegistry, access: Access, target: str, elsewhere: bool
) -> None:
    other = RawRegistry(IMAGE)
    other.start("127.0.0.2")
    place = f"http://{other.host}" if elsewhere else ""
    raw.odd[f"GET /v2/.*/{MADE.layers[0]}"] = always(answer(307, b"", f"Location: {place}{target}#fragment"))
    served = other if elsewhere else raw
    served.odd["GET /[^v]"] = always(answer(200, BLOB))
    try:
        reads(raw, access)
    finally:
        other.stop()
    assert served.lines("GET /[^v]") == [f"GET {target}"]


@pytest.mark.parametrize(
    ("location", "line"),
    [
        ("other?a=%2f", "/v2/image/blobs/other?a=%2f"),
        ("sha256:x", None),
        ("./sha256:x", "/v2/image/blobs/sha256:x"),
        ("../../b", "/v2/b"),
        ("../../../../../b", "/b"),
        ("?x=%2f", f"/v2/image/blobs/{MADE.layers[0]}?x=%2f"),
        ("/caf\xe9 au lait", "/caf%E9%20au%20lait"),
        ("", None),
    ],
)
def test_a_redirect_may_be_relative(raw: RawRegistry, access: Access, location: str, line: str | None) -> None:
    own = f"GET /v2/image/blobs/{MADE.layers[0]}$"
    raw.odd[own] = always(answer(307, b"", f"Location: {location}"))
    raw.odd["GET /(b|v2/b|caf)|other|[?]x|sha256:x"] = always(answer(200, BLOB))
    if line is None:
        assert isinstance(refused(raw, access), SourceUnreadable)
    else:
        reads(raw, access)
        assert raw.lines()[-1] == f"GET {line}"


def test_through_a_proxy_targets_are_as_they_are_too(
    raw: RawRegistry, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://{raw.host}")
    target = "http://storage.invalid/x%2fy?sig=%2b"
    raw.odd[f"GET /v2/.*/{MADE.layers[0]}"] = always(answer(307, b"", f"Location: {target}"))
    raw.odd["storage.invalid"] = always(answer(200, BLOB))
    reads(raw, access)
    assert raw.lines("storage") == [f"GET {target}"]
    assert b"\r\nHost: storage.invalid\r\n" in raw.heads[-1]
