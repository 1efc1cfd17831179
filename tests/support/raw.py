"""A registry with one image whose answers are written byte by byte, so that they can be as odd as one likes."""

from __future__ import annotations

import itertools
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event, Thread

from support.images import OCI, Spec, layout_files
from support.registry import content

# What a client that speaks TLS says first; such a connection is `TLS` in place of a request line.
_HANDSHAKE = b"\x16"

Say = Callable[[str], Iterable[bytes]]


def answer(status: int, body: bytes = b"", *headers: str, length: bool = True) -> bytes:
    """A whole answer; the connection ends behind it."""
    lines = [f"HTTP/1.1 {status} Odd", "Connection: close", *headers]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def drip(start: bytes, more: bytes) -> Iterator[bytes]:
    """Say `start`, and then `more` without end, a byte at a time and never long after the one before."""
    yield start
    for value in itertools.cycle(more):
        time.sleep(0.02)
        yield bytes([value])


def silence(start: bytes) -> Iterator[bytes]:
    """Say `start`, and then nothing."""
    yield start
    while True:
        time.sleep(0.02)
        yield b""


def flood(start: bytes, more: bytes) -> Iterator[bytes]:
    """Say `start`, and then `more` without end, as fast as it is taken."""
    yield start
    while True:
        yield more * 100


@dataclass(slots=True)
class RawRegistry:
    """At `host` is the image `NAME:latest` of `spec`; `odd` answers what it matches: `METHOD TARGET` to bytes."""

    spec: Spec
    host: str = ""
    odd: dict[str, Say] = field(default_factory=dict)
    # As they came over the wire.
    heads: list[bytes] = field(default_factory=list)
    _socket: socket.socket | None = None
    _ending: Event = field(default_factory=Event)

    def start(self, address: str = "127.0.0.1") -> None:
        self._socket = socket.create_server((address, 0))
        self.host = f"{address}:{self._socket.getsockname()[1]}"
        Thread(target=self._accept, name="raw registry", daemon=True).start()

    def stop(self) -> None:
        assert self._socket is not None
        self._ending.set()
        # Wakes the thread that accepts, which close() alone does not.
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def lines(self, pattern: str = "") -> list[str]:
        """The request lines so far that match, without the protocol's version."""
        lines = [head.split(b"\r\n")[0].decode("latin-1").rpartition(" ")[0] for head in self.heads]
        return [line for line in lines if re.search(pattern, line)]

    def _accept(self) -> None:
        assert self._socket is not None
        while not self._ending.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            Thread(target=self._serve, args=(connection,), name="raw answer", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as requests, suppress(OSError):
            head = requests.read(len(_HANDSHAKE))
            while head != _HANDSHAKE and not head.endswith(b"\r\n\r\n"):
                if not (got := requests.readline()):
                    return
                head += got
            self.heads.append(head)
            # A body is read: its bytes are no odder than others.
            length = re.search(rb"\r\nContent-Length: (\d+)", head)
            requests.read(int(length[1]) if length else 0)
            line = head.split(b"\r\n")[0].decode("latin-1").rpartition(" ")[0] if head != _HANDSHAKE else "TLS"
            say = next((say for pattern, say in self.odd.items() if re.search(pattern, line)), self.ordinary)
            for part in say(line):
                if self._ending.is_set():
                    return
                connection.sendall(part)

    def ordinary(self, line: str) -> Iterable[bytes]:
        if line == "TLS":
            return [answer(400)]
        method, _, target = line.partition(" ")
        if target == "/v2/":
            return [answer(200)]
        files, made = layout_files(self.spec)
        name = target.rpartition("/")[2].replace("latest", made[0].manifest)
        path = f"blobs/{name.replace(':', '/')}"
        if path not in files:
            return [answer(404)]
        whole = answer(200, content(files, path), f"Content-Type: {OCI}manifest.v1+json")
        return [whole.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if method == "HEAD" else whole]
