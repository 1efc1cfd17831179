"""The content of one blob, over as many connections as it takes (OCI distribution-spec, "Pulling blobs")."""

from __future__ import annotations

import re
import time
from collections.abc import Generator, Iterator
from threading import Event, Lock
from typing import NoReturn

from builder.errors import BlobMissing, SizeMismatch
from builder.image.descriptor import Descriptor
from builder.image.document import MAX_DOCUMENT_SIZE
from builder.registry.failures import NotThere, Passing, Refused
from builder.registry.http import Answer
from builder.registry.repository import Repository
from builder.registry.retry import ENOUGH_PROGRESS, Patience

# In seconds: who sends less than ENOUGH_PROGRESS in that time has as good as fallen silent.
SLOW = 60.0
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)", re.ASCII | re.IGNORECASE)


class Download:
    """One blob on its way, read by one thread; another may stop it."""

    def __init__(self, repository: Repository, descriptor: Descriptor) -> None:
        self._repository = repository
        self._descriptor = descriptor
        self._what = f"{repository.where}: blob {descriptor.digest}"
        self._ranges = True
        self._answer: Answer | None = None
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
            if self._answer is not None:
                self._answer.stop()

    def _connection(self, position: int) -> Iterator[bytes]:
        """Yield what one connection gives from `position` on."""
        size = self._descriptor.size
        asked = position if self._ranges else 0
        answer = self._ask(asked)
        try:
            with self._lock:
                self._answer = answer
                if self._stop.is_set():
                    return
            skipped = self._begin(answer, position, asked)
            packed = self._is_packed(answer)
            began, received = time.monotonic(), 0
            for chunk in [answer.whole(size + 1)] if packed else iter(answer.read, b""):
                if not received and answer.is_page and chunk.lstrip().startswith(b"<"):
                    raise answer.page("a blob")
                received += len(chunk)
                known = min(skipped, len(chunk))
                skipped -= known
                position += len(chunk) - known
                if position > size:
                    raise SizeMismatch(self._what, size, position)
                if known < len(chunk):
                    yield chunk[known:]
                if position < size and time.monotonic() - began > SLOW:
                    if received < ENOUGH_PROGRESS:
                        raise Passing(self._repository.host, "sends next to nothing")
                    began, received = time.monotonic(), 0
        finally:
            with self._lock:
                self._answer = None
            answer.close()

    def _ask(self, position: int) -> Answer:
        try:
            return self._repository.blob(self._descriptor.digest, position)
        except Refused as error:
            if not position:
                raise
            # Such as what stands before registry.k8s.io in some places: it gives blobs whole or not at all.
            self._give_up_ranges(f"{error.how} to who wants the rest of a blob")

    def _begin(self, answer: Answer, position: int, asked: int) -> int:
        """Judge the head of an answer; returns how many of its bytes are known already."""
        size = self._descriptor.size
        if answer.status == 206:
            match = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
            if match is None or int(match[1]) != asked:
                self._give_up_ranges("sent another range than was asked for")
            elif match[3] != "*" and int(match[3]) != size:
                raise SizeMismatch(self._what, size, int(match[3]))
            return position - asked
        if answer.status == 416:
            self._give_up_ranges("has no such range")
        if answer.status != 200:
            raise Passing(self._repository.host, f"answered {answer.status} where a blob should be")
        if answer.length not in (None, size) and not self._is_packed(answer):
            raise answer.page("a blob") if answer.is_page else SizeMismatch(self._what, size, answer.length)
        return position

    def _is_packed(self, answer: Answer) -> bool:
        """Say whether a config was packed on the way, although that was not asked for; layers are packed themselves."""
        encoding = answer.headers.get("Content-Encoding", "").strip().lower()
        descriptor = self._descriptor
        is_document = descriptor.size <= MAX_DOCUMENT_SIZE and ".tar" not in descriptor.media_type
        is_other = answer.status == 200 and answer.length != descriptor.size
        return encoding in ("gzip", "x-gzip") and is_document and is_other

    def _give_up_ranges(self, why: str) -> NoReturn:
        self._ranges = False
        raise Passing(self._repository.host, f"{why}; the blob is read from its beginning")
