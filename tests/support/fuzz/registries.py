"""What comes from registries, from the process that fetches, and to it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import cache
from threading import Event, Thread
from typing import cast

from support import images
from support.fuzz.mutate import of_text
from support.fuzz.target import Target, refused

from builder.errors import BlobMissing
from builder.events import ignore
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.registry import RegistryAccess
from builder.registry.direct import DirectOrigin
from builder.registry.download import Download
from builder.registry.failures import NotThere
from builder.registry.fetched import Asked, FetchedOrigin
from builder.registry.fetcher_process import _Service
from builder.registry.origin import Document
from builder.registry.questions import Nonsense
from builder.registry.referrers import referrers
from builder.registry.repository import Repository
from builder.registry.upload import Upload, put_manifest
from builder.threads import Worker

# How a client begins that wants a secure connection (RFC 8446, 5.1).
_TLS = b"\x16"
_NO_TLS = b"HTTP/1.1 400 Bad Request\r\n\r\n"


class Registry:
    """A server that gives one answer after the other, whatever it is asked, the last again and again, and hangs up."""

    def __init__(self) -> None:
        self.answers = [b""]
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.host = f"127.0.0.1:{self._listening.getsockname()[1]}"
        Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listening.accept()
            with connection:
                try:
                    asked = b""
                    while b"\r\n\r\n" not in asked and (more := connection.recv(65536)):
                        asked += more
                        if asked.startswith(_TLS):
                            break
                    answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                    connection.sendall(_NO_TLS if asked.startswith(_TLS) else answer)
                except OSError:
                    continue  # who has seen enough hangs up


@cache
def registry() -> tuple[Registry, Repository]:
    """Start one, and have a repository of it in which nothing is tried again: authorities of TLS are read once."""
    served, stop = Registry(), Event()
    stop.set()
    return served, Repository(served.host, "a", RegistryAccess(tls_verify=False), stop, ignore)


def http(data: bytes) -> None:
    """Ask a registry for documents and blobs, which it answers with the input."""
    served, repository = registry()
    served.answers = [data]
    repository.tags(3)
    with refused():
        repository.tag_hint("latest")
    with refused():
        with closing(repository.blob(Digest.of(b""), 7)) as answer:
            for _ in range(1000):
                if not answer.read():
                    break
    with refused(NotThere):
        list(referrers(repository, Digest.of(b""), "a/b"))
    repository.manifest("latest")


class _AtOnce(Event):
    """What is waited for between two attempts: neither has it come, nor does it take any time."""

    def wait(self, timeout: float | None = None) -> bool:
        return False


def download(data: bytes) -> None:
    """Fetch a blob over several connections, each of which gives a part of the input."""
    served, repository = registry()
    served.answers = data.split(_NEXT)
    transfer = Download(repository, Descriptor("application/octet-stream", Digest.of(BLOB), len(BLOB)))
    transfer._stop = _AtOnce()
    assert sum(map(len, transfer.chunks(0))) == len(BLOB)


def upload(data: bytes) -> None:
    """Send a small blob and a large one, and a manifest, to a registry that answers with parts of the input."""
    served, repository = registry()
    for content in (b"small", bytes(100_000)):
        served.answers = data.split(_NEXT)
        described = Descriptor("application/octet-stream", Digest.of(content), len(content))
        with refused(NotThere):
            Upload(repository, described, lambda position, held=content: iter([held[position:]]), "b").send()  # type: ignore[misc]
    put_manifest(repository, "latest", DOCUMENT, "application/vnd.oci.image.index.v1+json")


def questions(data: bytes) -> None:
    """Ask the process that fetches, as what parses could that was taken over, once the image's blobs are known."""
    asked = _Blobs(registry()[1])
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    answers = []
    with ours, theirs:
        # More than there is room for is not asked: nobody reads yet.
        ours.setblocking(False)
        ours.send(b'{"what": "allow", "digests": ["%b"]}' % str(ALLOWED).encode())
        ours.send(b'{"what": "settle"}')
        for line in data.split(b"\n")[:20]:
            mine, its = socket.socketpair()
            answers.append(mine)
            with its, suppress(OSError):
                socket.send_fds(ours, [line[:60_000]], [its.fileno()] if _is_question(line[:60_000]) else [])
        ours.shutdown(socket.SHUT_WR)
        # Who says that is served no more.
        with suppress(Nonsense):
            _serve(theirs, asked)
    for mine in answers:
        with mine:
            # To the end, which is behind all that is asked of a repository.
            while mine.recv(1 << 16):
                pass
    assert asked.named <= {ALLOWED}, f"asked for {asked.named}"


def _is_question(line: bytes) -> bool:
    """Tell what wants an answer from what is only told; what is no JSON at all wants none."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return not line.startswith(b" ")


def _serve(control: socket.socket, origin: DirectOrigin) -> None:
    service = _Service(control)
    service._origins.append(origin)
    try:
        service.serve()
    finally:
        for answer in service._answers.values():
            if answer.worker is not None:
                answer.worker.join()
            answer.to.close()


class _Blobs(DirectOrigin):
    """A repository that remembers what it was asked for, and has nothing."""

    def __init__(self, repository: Repository) -> None:
        super().__init__(repository)
        self.named: set[object] = set()

    def has_blob(self, digest: Digest) -> bool:
        self.named.add(digest)
        return False

    def download(self, descriptor: Descriptor) -> Download:
        self.named.add(descriptor.digest)
        raise BlobMissing("a blob")

    def manifest(self, reference: str | Digest) -> Document:
        self.named.add(reference)
        raise NotThere("a manifest")

    def referrers(self, subject: Digest, artifact_type: str) -> Iterator[Descriptor]:
        self.named.add(artifact_type)
        return iter(())

    def tag_hint(self, tag: str) -> None:
        self.named.add(tag)

    def tags(self, count: int) -> list[str]:
        self.named.add(count)
        return []

    def close(self) -> None:
        """Leave the repository to who made it."""

    stop = close


class _Said:
    """In the place of the process that fetches: whatever is asked, the answer is the input."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def question(self, _what: str, **_words: object) -> socket.socket:
        ours, theirs = socket.socketpair()
        Worker(lambda: self._send(theirs)).start()
        return ours

    def lacked_memory(self) -> bool:
        return False

    def _send(self, to: socket.socket) -> None:
        # Nobody may read it to its end.
        with to, suppress(OSError):
            to.sendall(self._data)


def fetched(data: bytes) -> None:
    """Read what the process that fetches says, which may be anything once it was taken over."""
    origin = FetchedOrigin(cast(Asked, _Said(data)), "example.com/a", ignore)
    blob = Descriptor("application/octet-stream", Digest.of(b""), 1 << 40)
    for ask in (
        lambda: origin.manifest("latest"),
        lambda: origin.tag_hint("latest"),
        lambda: origin.tags(3),
        lambda: origin.referrers(blob.digest, "a/b"),
        lambda: origin.has_blob(blob.digest),
        lambda: sum(map(len, origin.download(blob).chunks(0))),
    ):
        with refused(NotThere):
            ask()


def frame(kind: bytes, content: object) -> bytes:
    data = content if isinstance(content, bytes) else images.dumps(content)
    return kind + len(data).to_bytes(4, "little") + data


# Between two answers of a registry.
_NEXT = b"\n--next--\n"
BLOB = b"blob" * 40
ALLOWED = Digest.of(BLOB)
DOCUMENT = images.dumps({"schemaVersion": 2, "tags": ["a", "latest"], "manifests": []})
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" % len(DOCUMENT)
HEAD += b"Docker-Content-Digest: %b\r\n\r\n" % images.digest(DOCUMENT).encode()
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}   \r\n0\r\n\r\n"
MOVED = b"HTTP/1.1 307 Moved\r\nLocation: /v2/b?x=1\r\nContent-Length: 0\r\n\r\n"
REFUSED = (
    b'HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer realm="none"\r\nRetry-After: 7\r\n\r\n{"errors":[{"code":"DENIED"}]}'
)
PACKED = images.COMPRESS["gzip"](DOCUMENT)
GZIPPED = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(PACKED), PACKED)
FRAMES = [
    frame(b"N", "wait") + frame(b"D", DOCUMENT) + frame(b"R", {"digest": images.digest(DOCUMENT), "media_type": None}),
    frame(b"R", [images.digest(DOCUMENT), 7]),
    frame(b"R", True),
    frame(b"D", [{"mediaType": "a/b", "digest": images.digest(b""), "size": 0, "annotations": {"c": "d"}}])
    + frame(b"R", {}),
    frame(b"E", {"kind": "Passing", "words": ["a", "b", 1.0, False], "causes": [["OSError", "c"]]}),
    frame(b"E", {"kind": "NotThere", "words": ["a"], "causes": []}),
    frame(b"E", {"status": 4, "words": ["a"], "causes": []}),
]
PARTS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BLOB), BLOB[:70]),
    b"HTTP/1.1 206 Part\r\nContent-Range: bytes 0-159/160\r\nContent-Length: %d\r\n\r\n%b" % (len(BLOB), BLOB),
]
TAKEN = [
    b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 202 Yes\r\nLocation: /v2/a/blobs/uploads/1?x=y\r\nRange: 0-99999\r\nContent-Length: 0\r\n\r\n",
]
ASKED = [
    {"what": "blob", "origin": 0, "digest": str(ALLOWED), "media_type": "a/b", "size": len(BLOB), "position": 7},
    {"what": "has_blob", "origin": 0, "digest": str(ALLOWED)},
    {"what": "manifest", "origin": 0, "reference": "latest", "by_digest": False},
    {"what": "blob", "origin": 0, "digest": str(Digest.of(b"")), "media_type": "a/b", "size": 0, "position": 0},
    {"what": "open", "host": "a.example", "path": "a", "directory": "/", "authfile": None, "cert_dir": None},
]
TOLD = [{"what": "allow", "digests": [str(Digest.of(b""))]}, {"what": "close", "origin": 0}]
TARGETS = {
    "download": Target(download, lambda: [_NEXT.join(PARTS), PARTS[0] + BLOB[70:]], of_text),
    "upload": Target(upload, lambda: [_NEXT.join(TAKEN), HEAD + DOCUMENT, _NEXT.join([TAKEN[0], HEAD])], of_text),
    "questions": Target(
        questions,
        lambda: [
            b"\n".join(map(images.dumps, ASKED)),
            b"\n".join(b" " + images.dumps(each) for each in (*TOLD, *ASKED[:2])),
        ],
        of_text,
    ),
    "fetched": Target(fetched, lambda: FRAMES),
    "http": Target(http, lambda: [HEAD + DOCUMENT, CHUNKED, MOVED, REFUSED, GZIPPED], of_text),
}
