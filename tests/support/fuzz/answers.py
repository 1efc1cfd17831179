"""What comes back: from registries, guests, workers, and from earlier runs of this program."""

from __future__ import annotations

import os
import socket
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from threading import Event, Thread
from typing import cast

from support import images
from support.fuzz.mutate import of_json, of_text
from support.fuzz.target import Target, refused

from builder.batch.images import Job
from builder.batch.schedulers.cluster import _written_in
from builder.batch.schedulers.on_worker import why_lost
from builder.batch.worker import _disk
from builder.events import ignore
from builder.files.litter import is_litter, process_of
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.options import BuildOptions
from builder.registry import RegistryAccess
from builder.registry.failures import NotThere
from builder.registry.fetched import Asked, FetchedOrigin
from builder.registry.referrers import referrers
from builder.registry.repository import Repository
from builder.threads import Worker
from builder.vm.channels import Channels

# How a client begins that wants a secure connection (RFC 8446, 5.1).
_TLS = b"\x16"
_NO_TLS = b"HTTP/1.1 400 Bad Request\r\n\r\n"


class Registry:
    """A server that answers whatever it is asked with the same bytes, and hangs up."""

    def __init__(self) -> None:
        self.answer = b""
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
                    connection.sendall(_NO_TLS if asked.startswith(_TLS) else self.answer)
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
    served.answer = data
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


class _Said:
    """In the place of the process that fetches: whatever is asked, the answer is the input."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def question(self, _what: str, **_words: object) -> socket.socket:
        ours, theirs = socket.socketpair()
        Worker(lambda: self._send(theirs)).start()
        return ours

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


def console(data: bytes) -> None:
    """Hear of a guest how its process ended, and what is on its console."""
    nowhere = os.open("/dev/null", os.O_RDWR)
    try:
        channels = Channels(nowhere, nowhere, nowhere, False)
        ends = {name: socket.socket(fileno=os.dup(fd)) for name, fd in channels.ports.items()}
        ends["console"] = socket.socket(fileno=os.dup(channels.console))
        channels.handed_over()
        for end in ends.values():
            with end:
                end.sendall(data[: 64 << 10])
        channels.finish()
    finally:
        os.close(nowhere)
    assert channels.status is None or 0 <= channels.status < 256
    assert all(line.isprintable() for line in (*channels.last_words, *channels.init_words))


def work_directory(data: bytes) -> None:
    name = "rootfs-builder.build.0123456789abcdef"
    Path(name).mkdir(exist_ok=True)
    Path(name, "mark").write_bytes(data)
    fd = os.open(name, os.O_RDONLY)
    try:
        is_litter(fd, name)
        process_of(fd, name)
    finally:
        os.close(fd)


def records(data: bytes) -> None:
    """Read what a worker says, the file that a scheduler writes, and metadata as a worker does."""
    why_lost(data.decode("utf-8", "replace"))
    Path("written.json").write_bytes(data)
    _disk(Job(1, "oci:a", Path("a.ext4"), BuildOptions(metadata_file=Path("written.json"))))
    _written_in(Path("written.json"))


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
CONSOLE = b"rootfs-builder init: words\nRun /init\nerofs: (device vda): x\n"
WRITTEN = {
    "lost": "why",
    "address": "tcp://127.0.0.1:8786",
    "disk": {"size": 1, "sha256": "0", "uuid": "1"},
    "image": {"manifest": {"digest": "sha256:0"}, "layers": [{"digest": "sha256:1", "size": 2}]},
}
MARK = b"rootfs-builder works here, in rootfs-builder.build.0123456789abcdef; what it leaves is removed\nprocess 7\n"
CONSOLE = b"rootfs-builder init: words\nRun /init\nerofs: (device vda): x\n"
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
TARGETS = {
    "fetched": Target(fetched, lambda: FRAMES),
    "http": Target(http, lambda: [HEAD + DOCUMENT, CHUNKED, MOVED, REFUSED, GZIPPED], of_text),
    "console": Target(console, lambda: [b"status 7\n", CONSOLE]),
    "work-directory": Target(work_directory, lambda: [MARK]),
    "records": Target(records, lambda: [images.dumps(WRITTEN)], of_json),
}
