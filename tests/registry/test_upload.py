"""Blobs on their way into a registry where everything goes wrong that can: each gets there whole, or in one error."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import pytest
from support.logins import auth
from support.proxy import Answer, Fault, Proxy
from support.raw import RawRegistry, answer, silence
from support.registry import Registry
from support.remote import listen_to
from support.uploads import ResumableRegistry

from builder.errors import SourceUnreadable
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.registry import RegistryAccess, connection, upload
from builder.registry.failures import AccessDenied
from builder.registry.repository import Repository
from builder.registry.upload import Upload, UploadRefused, put_manifest

# More than the sizes of steps and of socket buffers on the way.
SIZE = 1_500_000
_STEP = 32 * 1024


@dataclass(slots=True)
class Sender:
    """Sends a blob of its own; `reads` are the positions from which it was read."""

    host: str
    size: int = SIZE
    seed: int = 1
    path: str = "uploads/blob"
    source: str | None = None
    reads: list[int] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    there: list[int] = field(default_factory=list)

    @property
    def data(self) -> bytes:
        return random.Random(self.seed).randbytes(self.size)

    def send(self) -> bool:
        data = self.data
        descriptor = Descriptor("application/octet-stream", Digest.of(data), len(data))

        def read(start: int) -> Iterator[bytes]:
            self.reads.append(start)
            return (data[place : place + _STEP] for place in range(start, len(data), _STEP))

        with closing(self.repository()) as repository:
            return Upload(repository, descriptor, read, self.source, self.there.append).send()

    def repository(self) -> Repository:
        beside = (self.source,) if self.source else ()
        listen = listen_to(self.heard)
        return Repository(self.host, self.path, RegistryAccess(), Event(), listen, push=True, beside=beside)


def blob(registry: Registry, sender: Sender) -> int:
    """The status of a request for the blob that was sent."""
    return registry.send("HEAD", f"/v2/{sender.path}/blobs/{Digest.of(sender.data)}", b"", {})[0]


@pytest.mark.parametrize("size", [0, 1, 2, 64 * 1024, SIZE])
def test_a_blob_is_sent_once(registry: Registry, proxy: Proxy, size: int) -> None:
    sender = Sender(proxy.host, size, path=f"uploads/once{size}")
    assert sender.send()
    assert blob(registry, sender) == 200
    assert sender.there[-1:] == ([size] if size else [])
    proxy.requests.clear()
    assert not sender.send()
    assert [each.method for each in proxy.requests] == ["GET", "HEAD"]


@pytest.mark.parametrize("taken", [0, 1, 700_000])
@pytest.mark.parametrize("times", [1, 3])
def test_an_upload_that_breaks_off_goes_on_or_begins_anew(
    registry: Registry, proxy: Proxy, taken: int, times: int
) -> None:
    proxy.faults.append(Fault("PATCH", times, take=taken))
    sender = Sender(proxy.host, path=f"uploads/broken{taken}-{times}")
    assert sender.send()
    assert blob(registry, sender) == 200
    # One more where the registry is still busy with what broke off when the rest of it comes, and refuses that.
    assert len(proxy.sent("PATCH")) > times
    assert len(sender.heard) >= times


@pytest.mark.parametrize("breaks", [[900_000], [0, 1, 2], [300_000, 400_000, SIZE - 700_001]])
def test_what_a_registry_says_it_has_is_not_sent_again(home: Path, breaks: list[int]) -> None:
    registry = ResumableRegistry(breaks=list(breaks))
    registry.start()
    sender = Sender(registry.host)
    try:
        assert sender.send()
    finally:
        registry.stop()
    assert list(registry.blobs.values()) == [sender.data]
    starts = [sum(breaks[:number]) for number in range(len(breaks) + 1)]
    # A registry cannot say that it has a single byte, or none: that is sent, and refused, and begun anew.
    if breaks[0] > 1:
        assert registry.received == SIZE
        assert registry.ranges == [None, *(f"{start}-{SIZE - 1}" for start in starts[1:])]
        assert sender.reads == starts


def test_a_session_that_was_lost_is_begun_anew(registry: Registry, proxy: Proxy) -> None:
    gone = Answer(404, {}, b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}')
    proxy.faults.append(Fault("PATCH", 1, take=1000))
    proxy.faults.append(Fault("GET .*uploads/", answer=gone))
    sender = Sender(proxy.host, path="uploads/lost")
    assert sender.send()
    assert blob(registry, sender) == 200
    assert len(proxy.sent("POST")) == 2


@pytest.mark.parametrize("there", ["0-99999999", "0-9999999999999999999", "5-7", "everything"])
def test_what_cannot_be_there_is_not_believed(registry: Registry, proxy: Proxy, there: str) -> None:
    proxy.faults.append(Fault("PATCH", 1, take=1000))
    proxy.faults.append(Fault("GET .*uploads/", change=lambda given: given.set("Range", there)))
    sender = Sender(proxy.host, path=f"uploads/not-{there.lower()}", seed=100 + ord(there[-3]))
    assert sender.send()
    assert blob(registry, sender) == 200


def test_an_end_whose_answer_is_lost_is_an_end(registry: Registry, proxy: Proxy) -> None:
    proxy.faults.append(Fault("PUT", 1, cut=0))
    sender = Sender(proxy.host, path="uploads/ended")
    assert sender.send()
    assert len(proxy.sent("PATCH")) == 1


def test_a_registry_that_never_gets_further_is_given_up(proxy: Proxy) -> None:
    proxy.faults.append(Fault("PATCH", take=500_000))
    sender = Sender(proxy.host, path="uploads/never")
    with pytest.raises(SourceUnreadable, match="gave up after 6 attempts"):
        sender.send()
    assert len(proxy.sent("PATCH")) <= 7


@pytest.mark.parametrize(("method", "status"), [("POST", 429), ("PATCH", 503), ("PUT", 502), ("PUT", 504)])
def test_a_busy_registry_is_asked_again(registry: Registry, proxy: Proxy, method: str, status: int) -> None:
    proxy.faults.append(Fault(method, 2, answer=Answer(status, {}, b"")))
    sender = Sender(proxy.host, path="uploads/busy", seed=status * 10 + len(method))
    assert sender.send()
    assert blob(registry, sender) == 200


@pytest.mark.parametrize(
    ("method", "status", "said"),
    [
        ("POST", 405, "answered 405 Method Not Allowed (UNSUPPORTED); the registry takes nothing: it is read-only"),
        ("POST", 404, "there is no such repository: make it there first"),
        ("PATCH", 413, "takes no blob of that size: raise its limit"),
        ("PUT", 507, "the registry has no more room"),
        ("POST", 412, "look at its quota"),
        ("PUT", 418, "the registry does not take this"),
    ],
)
def test_what_is_not_taken_ends_in_one_line(proxy: Proxy, method: str, status: int, said: str) -> None:
    proxy.faults.append(Fault(method, answer=Answer(status, {}, b'{"errors":[{"code":"UNSUPPORTED"}]}')))
    with pytest.raises(UploadRefused) as caught:
        Sender(proxy.host, path="uploads/refused").send()
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{proxy.host}/uploads/refused: answered ")
    assert caught.value.exit_status == 1
    # Nothing stays there, either.
    assert len(proxy.sent("DELETE")) == (method != "POST")


@pytest.mark.parametrize("status", [401, 403])
def test_who_may_not_write_is_told_so(proxy: Proxy, status: int) -> None:
    proxy.faults.append(Fault("POST", answer=Answer(status, {}, b'{"errors":[{"code":"DENIED"}]}')))
    with pytest.raises(AccessDenied, match=r"\(DENIED\); not everybody may write there: log in with podman login") as e:
        Sender(proxy.host, path="uploads/denied").send()
    assert e.value.exit_status == 4


def test_a_session_is_ended_when_reading_fails(proxy: Proxy) -> None:
    class Gone(Exception):
        pass

    def read(start: int) -> Iterator[bytes]:
        yield bytes(_STEP)
        raise Gone

    with closing(Sender(proxy.host, path="uploads/gone").repository()) as repository:
        descriptor = Descriptor("application/octet-stream", Digest.of(b"never"), SIZE)
        with pytest.raises(Gone):
            Upload(repository, descriptor, read).send()
    # Over another connection than the PATCH that broke off, which may be seen after it.
    assert [each.method for each in proxy.requests if each.method != "PATCH"] == ["GET", "HEAD", "POST", "DELETE"]


def test_a_blob_that_another_repository_has_is_taken_from_there(registry: Registry, proxy: Proxy) -> None:
    first = Sender(proxy.host, path="uploads/first", seed=7)
    first.send()
    proxy.requests.clear()
    second = Sender(proxy.host, path="uploads/second", seed=7, source="uploads/first")
    assert not second.send()
    assert blob(registry, second) == 200
    assert [each.method for each in proxy.requests] == ["GET", "HEAD", "POST"]


@pytest.mark.parametrize("status", [202, 400, 401, 403, 404, 405])
def test_a_blob_that_cannot_be_taken_from_beside_is_sent(registry: Registry, proxy: Proxy, status: int) -> None:
    sender = Sender(proxy.host, path=f"uploads/alone{status}", source="uploads/nothing")
    if status != 202:
        proxy.faults.append(Fault("POST .*mount=", answer=Answer(status, {}, b"")))
    assert sender.send()
    assert blob(registry, sender) == 200


def test_a_registry_that_takes_next_to_nothing_is_given_up(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "SLOW", -1)
    monkeypatch.setattr(upload, "ENOUGH_PROGRESS", SIZE * 10)
    with pytest.raises(SourceUnreadable, match="takes next to nothing; gave up after 6 attempts"):
        Sender(proxy.host, path="uploads/slow").send()


@pytest.mark.heavy
def test_a_registry_that_says_nothing_is_given_up(raw: RawRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_TIMEOUT", 0.2)
    raw.odd["HEAD"] = lambda _line: [answer(404)]
    raw.odd["POST"] = lambda _line: silence(b"")
    with pytest.raises(SourceUnreadable, match="no answer in time"):
        Sender(raw.host).send()


@pytest.mark.parametrize(
    ("said", "sent"), [("sha256:" + "0" * 64, "which it is not"), ("nonsense", None), (None, None)]
)
def test_a_manifest_under_another_digest_is_noticed(proxy: Proxy, said: str | None, sent: str | None) -> None:
    proxy.faults.append(Fault("PUT .*manifests", answer=Answer(201, {}, b"")))
    if said is not None:
        proxy.faults[0].answer = Answer(201, {"Docker-Content-Digest": said}, b"")
    with closing(Sender(proxy.host).repository()) as repository:
        if sent is None:
            put_manifest(repository, "tag", b"{}", "application/json")
        else:
            with pytest.raises(UploadRefused, match=sent):
                put_manifest(repository, "tag", b"{}", "application/json")


def test_a_manifest_that_is_sent_elsewhere_is_not_there(proxy: Proxy) -> None:
    proxy.faults.append(Fault("PUT .*manifests", answer=Answer(307, {"Location": "/elsewhere"}, b"")))
    with closing(Sender(proxy.host).repository()) as repository:
        with pytest.raises(UploadRefused, match="answered 307; the registry does not take this"):
            put_manifest(repository, "tag", b"{}", "application/json")


def test_an_upload_that_is_redirected_is_sent_there(registry: Registry, proxy: Proxy) -> None:
    proxy.faults.append(Fault("POST", 1, answer=Answer(307, {"Location": "/v2/uploads/moved/blobs/uploads/"}, b"")))
    sender = Sender(proxy.host, path="uploads/moved")
    assert sender.send()
    assert blob(registry, sender) == 200
    assert len(proxy.sent("POST")) == 2


@pytest.mark.parametrize("moved", [False, True])
def test_an_upload_goes_where_the_registry_says_and_takes_no_secret_there(
    raw: RawRegistry, home: Path, moved: bool
) -> None:
    other = RawRegistry(raw.spec)
    other.start("127.0.0.2")
    raw.odd["GET /v2/$"] = lambda _line: [answer(401, b"", 'WWW-Authenticate: Basic realm="x"')]
    raw.odd["HEAD"] = lambda _line: [answer(404)]
    there = f"Location: http://{other.host}/up?sig=%2b"
    raw.odd["POST"] = lambda _line: [answer(202, b"", "Location: /up" if moved else there)]
    raw.odd["PATCH"] = lambda _line: [answer(307, b"", there)]
    other.odd["PATCH"] = lambda _line: [answer(202, b"", "Location: /further?x=1")]
    other.odd["PUT"] = lambda _line: [answer(201)]
    credentials = home / "auth.json"
    credentials.write_text(json.dumps({"auths": {raw.host: auth("user")}}))
    data = Sender(raw.host).data
    access = RegistryAccess(authfile=credentials)
    repository = Repository(raw.host, "image", access, Event(), listen_to([]), push=True)
    try:
        descriptor = Descriptor("application/octet-stream", Digest.of(data), len(data))
        with closing(repository):
            Upload(repository, descriptor, lambda start: iter([data[start:]])).send()
    finally:
        other.stop()
    assert other.lines() == ["PATCH /up?sig=%2b", f"PUT /further?x=1&digest=sha256%3A{descriptor.digest.hex}"]
    assert any(b"Authorization" in head for head in raw.heads)
    assert not any(b"uthorization" in head for head in other.heads)
