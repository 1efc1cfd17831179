"""A registry's uploads as the specification has them, which Debian's docker-registry does not: they can be resumed."""

from __future__ import annotations

from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from support.images import digest
from support.proxy import tear_down


@dataclass(slots=True)
class ResumableRegistry:
    """One repository at `host`; `breaks` are after how many bytes the next PATCHes are torn down."""

    host: str = ""
    breaks: list[int] = field(default_factory=list)
    ranges: list[str | None] = field(default_factory=list)
    received: int = 0
    blobs: dict[str, bytes] = field(default_factory=dict)
    # By session: what is there of a blob.
    sessions: dict[str, bytearray] = field(default_factory=dict)
    _server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Else a body waits 40 ms for its head to be acknowledged.
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                if self.path == "/v2/":
                    return owner._say(self, 200)
                there = owner.sessions[self.path]
                return owner._say(self, 204, {"Location": self.path, "Range": f"0-{max(len(there) - 1, 0)}"})

            def do_HEAD(self) -> None:
                owner._say(self, 200 if self.path.rpartition("/")[2] in owner.blobs else 404)

            def do_POST(self) -> None:
                place = f"/v2/session/{len(owner.sessions)}"
                owner.sessions[place] = bytearray()
                owner._say(self, 202, {"Location": place})

            def do_PATCH(self) -> None:
                owner._take(self)

            def do_PUT(self) -> None:
                place, _, query = self.path.partition("?")
                data = bytes(owner.sessions.pop(place)) + self.rfile.read(int(self.headers["Content-Length"]))
                stated = query.removeprefix("digest=").replace("%3A", ":")
                if digest(data) == stated:
                    owner.blobs[stated] = data
                owner._say(self, 201 if digest(data) == stated else 400)

            def do_DELETE(self) -> None:
                owner.sessions.pop(self.path, None)
                owner._say(self, 204)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        Thread(target=self._server.serve_forever, args=(0.02,), name="uploads", daemon=True).start()

    def stop(self) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    def _take(self, handler: BaseHTTPRequestHandler) -> None:
        stated = handler.headers["Content-Range"]
        self.ranges.append(stated)
        there = self.sessions[handler.path]
        if stated is not None and int(stated.partition("-")[0]) != len(there):
            return self._say(handler, 416)
        length = int(handler.headers["Content-Length"])
        data = handler.rfile.read(min(length, self.breaks.pop(0)) if self.breaks else length)
        there += data
        self.received += len(data)
        if len(data) < length:
            return tear_down(handler)
        return self._say(handler, 202, {"Location": handler.path, "Range": f"0-{len(there) - 1}"})

    def _say(self, handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str] | None = None) -> None:
        handler.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": "0"}.items():
            handler.send_header(name, value)
        handler.end_headers()
