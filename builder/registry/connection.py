"""One HTTP connection, below urllib3: request lines go out byte for byte, and no read goes on for ever."""

from __future__ import annotations

import http.client
import io
import socket
import time
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

# In seconds: for the head of each answer from the request on, whatever comes before its end.
HEAD_TIMEOUT = 60.0
# The request line's target travels among the headers, as HTTP/2 has it: what is called a URL is normalised on the way.
TARGET = ":path"
# So does the time within which the head of the answer has to be there, in seconds.
WITHIN = ":within"


class Deadline:
    """Until when to wait for one connection; whoever reads from it sets it.

    `head` is how many seconds the head of the next answer may take, where that is not HEAD_TIMEOUT.
    """

    def __init__(self) -> None:
        self._end = 0.0
        self.head: float | None = None

    def begin(self, seconds: float) -> None:
        """Allow so many seconds from now on."""
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Give what is left, in seconds; raises TimeoutError when that is nothing."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return left


class _TimedFile(io.RawIOBase):
    """A socket to read from until a deadline, however busy the other side keeps it."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self._file = sock.makefile("rb", buffering=0)
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._deadline.left())
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """An answer, a proxy's to CONNECT, too; the deadline of its head begins when it is waited for."""

    def __init__(self, deadline: Deadline, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp.close()
        deadline.begin(HEAD_TIMEOUT if deadline.head is None else deadline.head)
        self.fp = io.BufferedReader(_TimedFile(sock, deadline))

    def _read_status(self) -> tuple[str, int, str]:
        # http.client takes every interim answer but 100 (RFC 9110, 15.2) for the last.
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not HTTPStatus.PROCESSING <= status < HTTPStatus.OK:
                return version, status, reason
            http.client.parse_headers(self.fp)


class ExactConnection(HTTPConnection):
    """A connection that sends the target that it is given, and reads until its deadline."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.deadline = Deadline()
        self.response_class = partial(_Response, self.deadline)  # type: ignore[assignment]

    def request(  # type: ignore[override]  # as urllib3's own
        self, method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None, **options: Any
    ) -> None:
        """Send a request, as urllib3's own; TARGET and WITHIN among the headers are taken out of them."""
        given = urllib3.HTTPHeaderDict(headers or {})
        target = given.pop(TARGET, url)
        within = given.pop(WITHIN, None)
        self.deadline.head = None if within is None else float(within)
        # A line for each, as Docker sends them: old registries take a list in one line for one type, unknown to them.
        for kind in filter(None, given.pop("Accept", "").split(", ")):
            given.add("Accept", kind)
        super().request(method, target, body, given, **options)


class ExactTlsConnection(ExactConnection, HTTPSConnection):
    """The same over TLS."""
