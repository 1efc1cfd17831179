"""The content of one blob, over as many connections as it takes (OCI distribution-spec, "Pulling blobs")."""

from __future__ import annotations

import re
import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from threading import Event, Lock

import urllib3

from builder.errors import BlobMissing, SizeMismatch
from builder.image.descriptor import Descriptor
from builder.registry.failures import NotThere, Passing
from builder.registry.http import reading
from builder.registry.repository import Repository
from builder.registry.retry import ENOUGH_PROGRESS, Patience

_READ_SIZE = 1 << 17
# In seconds: who sends less than ENOUGH_PROGRESS in that time has as good as fallen silent.
SLOW = 60.0
_LENGTH = re.compile(r"[0-9]{1,19}", re.ASCII)
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)", re.ASCII | re.IGNORECASE)


class Download:
    """One blob on its way, read by one thread; another may stop it."""

    def __init__(self, repository: Repository, descriptor: Descriptor) -> None:
        self._repository = repository
        self._descriptor = descriptor
        self._what = f"{repository.where}: blob {descriptor.digest}"
        self._ranges = True
        self._response: urllib3.BaseHTTPResponse | None = None
        self._stop = Event()
        self._lock = Lock()

    def chunks(self, position: int) -> Generator[bytes, None, None]:
        """Yield the content from `position` on, in bytes, until there are as many as the descriptor says.

        What breaks off is resumed where it broke off. Raises SourceUnreadable, AccessDenied, BlobMissing, and
        SizeMismatch when the registry has a blob of another size under that digest.
        """
        size = self._descriptor.size
        patience = Patience(self._stop, self._repository.listen)
        while position < size:
            before = position
            try:
                for chunk in self._connection(position):
                    position += len(chunk)
                    yield chunk
                if position < size:
                    raise Passing(self._repository.host, "the connection ended in the middle of a blob")
            except NotThere as error:
                raise BlobMissing(self._what, self._descriptor.urls) from error
            except Passing as error:
                patience.progress(position - before)
                patience.wait(error)

    def stop(self) -> None:
        """End a wait for the network or for the next attempt; the reading thread gets Stopped."""
        with self._lock:
            self._stop.set()
            if self._response is not None:
                with suppress(OSError, ValueError, RuntimeError):
                    self._response.shutdown()

    def _connection(self, position: int) -> Iterator[bytes]:
        """Yield what one connection gives from `position` on."""
        response = self._repository.blob(self._descriptor.digest, position if self._ranges else 0)
        try:
            with self._lock:
                self._response = response
                if self._stop.is_set():
                    return
            skipped = self._begin(response, position)
            began, received = time.monotonic(), 0
            while chunk := reading(lambda: response.read1(_READ_SIZE), self._repository.host):
                received += len(chunk)
                known = min(skipped, len(chunk))
                skipped -= known
                position += len(chunk) - known
                if position > self._descriptor.size:
                    raise SizeMismatch(self._what, self._descriptor.size, position)
                if known < len(chunk):
                    yield chunk[known:]
                if position < self._descriptor.size and time.monotonic() - began > SLOW:
                    if received < ENOUGH_PROGRESS:
                        raise Passing(self._repository.host, "sends next to nothing")
                    began, received = time.monotonic(), 0
            response.release_conn()
        finally:
            with self._lock:
                self._response = None
            response.close()

    def _begin(self, response: urllib3.BaseHTTPResponse, position: int) -> int:
        """Judge the head of an answer; returns how many of its bytes are known already."""
        size = self._descriptor.size
        if response.status == 206:
            match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if match is None or int(match[1]) != position:
                self._give_up_ranges("sent another range than was asked for")
            elif match[3] != "*" and int(match[3]) != size:
                raise SizeMismatch(self._what, size, int(match[3]))
            return 0
        if response.status == 416:
            self._give_up_ranges("has no such range")
        if response.status != 200:
            raise Passing(self._repository.host, f"answered {response.status} where a blob should be")
        length = response.headers.get("Content-Length", "")
        if _LENGTH.fullmatch(length) and int(length) != size:
            raise SizeMismatch(self._what, size, int(length))
        return position

    def _give_up_ranges(self, why: str) -> None:
        self._ranges = False
        raise Passing(self._repository.host, f"{why}; the blob is read from its beginning")
