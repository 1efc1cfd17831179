"""Registries that never come to an end: each is given up, whatever it goes on saying, in any of its answers."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.images import Spec
from support.raw import RawRegistry, Say, answer, drip, flood, silence
from support.remote import listen_to, read_image
from support.tars import file, tar

from builder.errors import BuilderError, SourceUnreadable
from builder.registry import connection, http, pool, retry
from builder.sources.access import Access, Means

IMAGE = Spec((tar(file("file", b"content\n" * 1000)),), platform="linux/s390x")
# They wait for most of a minute.
pytestmark = pytest.mark.heavy

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

HEADS: dict[str, Say] = {
    "100 Continue without end": lambda _: flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "100 Continue, a byte at a time": lambda _: drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "103 Early Hints without end": lambda _: flood(b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"),
    "a status line": lambda _: drip(b"HTTP/1.1 200 ", b"O"),
    "a header": lambda _: drip(OK + b"X-Odd: ", b"x"),
    "many headers": lambda _: drip(OK, b"X: y\r\n"),
    "silence": lambda _: silence(b""),
}
CONTENTS: dict[str, Say] = {
    "an extension of a chunk": lambda _: drip(CHUNKED + b"1;", b"x"),
    "the size of a chunk": lambda _: drip(CHUNKED, b"0"),
    "trailers without end": lambda _: flood(CHUNKED + b"0\r\n", b"X: y\r\n"),
    "trailers, a byte at a time": lambda _: drip(CHUNKED + b"0\r\n", b"X: y\r\n"),
}


@pytest.fixture(autouse=True)
def _short(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_TIMEOUT", 0.2)
    monkeypatch.setattr(http, "SILENCE_TIMEOUT", 0.2)
    monkeypatch.setattr(http, "SPARE_TIME", 0.1)
    monkeypatch.setattr(retry, "ATTEMPTS", 2)


@pytest.fixture
def _patient(_short: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """For what must not be given up, however slow this machine is now."""
    monkeypatch.setattr(connection, "HEAD_TIMEOUT", 1)
    monkeypatch.setattr(http, "SILENCE_TIMEOUT", 1)


@pytest.fixture
def registry() -> Iterator[RawRegistry]:
    made = RawRegistry(IMAGE)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def access(tmp_path: Path) -> Access:
    return Access(str(tmp_path / "store"))


def given_up(registry: RawRegistry, access: Access) -> BuilderError:
    with pytest.raises(SourceUnreadable) as caught:
        read_image(f"docker://{registry.host}/image", access)
    return caught.value


@pytest.mark.parametrize("say", [*HEADS.values(), *CONTENTS.values()], ids=[*HEADS, *CONTENTS])
@pytest.mark.parametrize("place", ["GET .*manifests", "GET .*blobs", "/token"])
def test_an_answer_without_end_is_given_up(registry: RawRegistry, access: Access, say: Say, place: str) -> None:
    registry.odd[place] = say
    if place == "/token":
        challenge = f'WWW-Authenticate: Bearer realm="http://{registry.host}/token"'
        registry.odd["manifests"] = lambda _: [answer(401, b"", challenge)]
    error = given_up(registry, access)
    assert "no answer in time" in str(error)
    assert "gave up after 2 attempts" in str(error)


@pytest.mark.parametrize("say", HEADS.values(), ids=HEADS)
def test_where_a_redirect_leads_is_given_up_too(registry: RawRegistry, access: Access, say: Say) -> None:
    other = RawRegistry(IMAGE, odd={"": say})
    other.start("127.0.0.2")
    registry.odd["GET .*blobs"] = lambda _: [answer(307, b"", f"Location: http://{other.host}/blob")]
    try:
        assert f"{other.host}: no answer in time" in str(given_up(registry, access))
    finally:
        other.stop()


@pytest.mark.usefixtures("_patient")
@pytest.mark.parametrize("say", [*HEADS.values(), *CONTENTS.values()], ids=[*HEADS, *CONTENTS])
def test_what_head_never_ends_with_is_asked_with_get(registry: RawRegistry, access: Access, say: Say) -> None:
    registry.odd["HEAD "] = say
    assert len(read_image(f"docker://{registry.host}/image", access)) == 1


@pytest.mark.parametrize("say", HEADS.values(), ids=HEADS)
def test_a_proxy_that_never_answers_to_connect_is_given_up(
    registry: RawRegistry, access: Access, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.odd["CONNECT"] = say
    monkeypatch.setenv("https_proxy", f"http://{registry.host}")
    with pytest.raises(SourceUnreadable, match=r"the proxy of the environment"):
        read_image("docker://registry.invalid/image", access)


@pytest.mark.parametrize("more", [b"\x00", b""], ids=["a byte at a time", "silence"])
def test_a_tls_handshake_without_end_is_given_up(
    registry: RawRegistry, access: Access, monkeypatch: pytest.MonkeyPatch, more: bytes
) -> None:
    monkeypatch.setattr(pool, "CONNECT_TIMEOUT", 0.3)
    record = b"\x16\x03\x03\x40\x00"
    registry.odd["TLS"] = lambda _: drip(record, more) if more else silence(b"")
    assert "no answer in time" in str(given_up(registry, access))


@pytest.mark.usefixtures("_patient")
@pytest.mark.parametrize("rest", [CHUNKED, OK + b"Content-Length: 9000000\r\n\r\n"], ids=["chunked", "counted"])
def test_the_rest_of_an_error_is_not_waited_for(registry: RawRegistry, access: Access, rest: bytes) -> None:
    def refuse(_: str) -> Iterable[bytes]:
        return silence(rest.replace(b"200 OK", b"404 Not Found"))

    registry.odd["manifests"] = refuse
    with pytest.raises(BuilderError, match="has no tag 'latest'"):
        read_image(f"docker://{registry.host}/image", access)


def test_a_document_that_comes_byte_by_byte_is_given_up(
    registry: RawRegistry, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "WHOLE_TIMEOUT", 0.5)
    registry.odd["GET .*manifests"] = lambda _: drip(OK + b"\r\n", b" ")
    assert "no answer in time" in str(given_up(registry, access))


@pytest.mark.usefixtures("_patient")
def test_a_registry_is_only_slow_while_content_comes(registry: RawRegistry, access: Access) -> None:
    """Silence is counted anew with every byte of content: only the head has one deadline."""
    whole = b"".join(registry.ordinary("GET /v2/image/manifests/latest"))

    def slowly(_line: str) -> Iterator[bytes]:
        head, end, body = whole.partition(b"\r\n\r\n")
        yield head + end
        step = len(body) // 20
        for start in range(0, len(body), step):
            time.sleep(0.1)
            yield body[start : start + step]

    registry.odd["GET .*manifests"] = slowly
    heard: list[str] = []
    reference = f"docker://{registry.host}/image"
    assert len(read_image(reference, replace(access, keep=False), Means(listen=listen_to(heard)))) == 1
    assert heard == []
