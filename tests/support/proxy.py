"""A faulty proxy in front of a registry: it notes every request, and spoils the answers that it is told to spoil."""

from __future__ import annotations

import http.client
import re
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread


@dataclass(slots=True)
class Answer:
    """What the registry says, for a fault to change."""

    status: int
    headers: dict[str, str]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), None)

    def set(self, name: str, value: str | None) -> None:
        for key in [key for key in self.headers if key.lower() == name.lower()]:
            del self.headers[key]
        if value is not None:
            self.headers[name] = value


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came in."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass(slots=True)
class Fault:
    """What to do to the next `times` requests whose `METHOD PATH` matches.

    `before` may change the headers that go on to the registry; `change` the answer; of the answer's body `cut` bytes
    are sent before the connection is torn down; `hold` is waited for after so many bytes. Of the request's body `take`
    bytes reach the registry before both connections are torn down.
    """

    pattern: str
    times: int = 1_000_000
    before: Callable[[dict[str, str]], None] | None = None
    change: Callable[[Answer], None] | None = None
    answer: Answer | None = None
    cut: int | None = None
    hold: Event | None = None
    hold_at: int = 0
    take: int | None = None


@dataclass(slots=True)
class Proxy:
    """A proxy at `host`, for the registry at `target`; threads of its own serve it."""

    target: str
    host: str = ""
    requests: list[Request] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    _server: ThreadingHTTPServer | None = None
    _lock: Lock = field(default_factory=Lock)
    _ending: Event = field(default_factory=Event)

    def start(self, address: str = "127.0.0.1") -> None:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Else a body waits 40 ms for its head to be acknowledged.
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                proxy._serve(self)

            def do_HEAD(self) -> None:
                proxy._serve(self)

            def do_POST(self) -> None:
                proxy._serve(self)

            def do_PATCH(self) -> None:
                proxy._serve(self)

            def do_PUT(self) -> None:
                proxy._serve(self)

            def do_DELETE(self) -> None:
                proxy._serve(self)

            def do_CONNECT(self) -> None:
                with proxy._lock:
                    proxy.requests.append(Request("CONNECT", self.path, dict(self.headers.items())))
                self.send_error(502)

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            # What a client that goes away breaks is no failure here.
            def handle_error(self, request: object, client_address: object) -> None:
                pass

        self._server = Server((address, 0), Handler)
        self.host = f"{address}:{self._server.server_address[1]}"
        Thread(target=self._server.serve_forever, args=(0.02,), name="proxy", daemon=True).start()

    def stop(self) -> None:
        assert self._server is not None
        self._ending.set()
        self._server.shutdown()
        self._server.server_close()

    def sent(self, pattern: str) -> list[Request]:
        """The requests so far whose `METHOD PATH` matches."""
        with self._lock:
            return [each for each in self.requests if re.search(pattern, f"{each.method} {each.path}")]

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        headers = dict(handler.headers.items())
        # A line for each type: in one they mean the same.
        if accepted := handler.headers.get_all("Accept"):
            headers["Accept"] = ", ".join(accepted)
        length = int(handler.headers.get("Content-Length", 0))
        with self._lock:
            self.requests.append(Request(handler.command, handler.path, dict(headers)))
            line = f"{handler.command} {handler.path}"
            fault = next((each for each in self.faults if each.times and re.search(each.pattern, line)), None)
            if fault is not None:
                fault.times -= 1
        fault = fault or Fault("")
        if fault.before is not None:
            fault.before(headers)
        body = handler.rfile.read(length if fault.take is None else min(length, fault.take))
        if fault.take is not None:
            self._forward_part(handler, headers, body)
            tear_down(handler)
            return
        answer = fault.answer or self._forward(handler, headers, body)
        answer = Answer(answer.status, dict(answer.headers), answer.body)
        if fault.change is not None:
            fault.change(answer)
        self._reply(handler, answer, fault)

    def _forward(self, handler: BaseHTTPRequestHandler, headers: dict[str, str], body: bytes) -> Answer:
        connection = http.client.HTTPConnection(self.target, timeout=60)
        try:
            connection.request(handler.command, handler.path, body or None, headers)
            got = connection.getresponse()
            return Answer(got.status, dict(got.getheaders()), got.read())
        finally:
            connection.close()

    def _forward_part(self, handler: BaseHTTPRequestHandler, headers: dict[str, str], body: bytes) -> None:
        """Send the registry a request that ends too early."""
        connection = http.client.HTTPConnection(self.target, timeout=60)
        connection.putrequest(handler.command, handler.path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        connection.close()

    def _reply(self, handler: BaseHTTPRequestHandler, answer: Answer, fault: Fault) -> None:
        if answer.header("Content-Length") is None and answer.header("Connection") is None:
            answer.set("Content-Length", str(len(answer.body)))
        handler.send_response_only(answer.status)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        body = b"" if handler.command == "HEAD" else answer.body
        if fault.hold is not None:
            handler.wfile.write(body[: fault.hold_at])
            handler.wfile.flush()
            body = body[fault.hold_at :]
            while not fault.hold.wait(0.05) and not self._ending.is_set():
                pass
        if fault.cut is not None:
            handler.wfile.write(body[: fault.cut])
            handler.wfile.flush()
            tear_down(handler)
            return
        handler.wfile.write(body)
        if answer.header("Connection") == "close":
            handler.close_connection = True


def tear_down(handler: BaseHTTPRequestHandler) -> None:
    """End a connection by a reset, not an orderly end."""
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.connection.close()
    handler.close_connection = True
