"""A repository that another process talks to: what is asked of it, and what becomes of its answers."""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from threading import Lock
from typing import Any, Protocol, TypeVar

import msgspec

from builder.errors import BlobMissing, BuilderError, SourceUnreadable
from builder.events import Listener, Notice
from builder.image.descriptor import Descriptor, EntryFields, read_descriptor
from builder.image.digest import Digest
from builder.image.document import MAX_DOCUMENT_SIZE
from builder.image.verifier import verify
from builder.registry.failures import Stopped
from builder.registry.frames import DATA, ERROR, NOTICE, Broken, frames, read_error, read_json
from builder.registry.origin import Document
from builder.shortage import shortage

T = TypeVar("T")

# In bytes, of what is read whole: a document, or a list of what may have come in several.
_LONGEST_DOCUMENT = 4 * MAX_DOCUMENT_SIZE
# In characters, of a media type (RFC 6838, 4.2); an image may say a longer one, for which a question has no room.
_LONGEST_TYPE = 255
# In questions of one kind: about as many connections as downloads will want.
_AT_ONCE = 4


class Asked(Protocol):
    """The process that is asked."""

    def question(self, what: str, **words: object) -> socket.socket:
        """Ask something; the answer comes over the socket. Raises OSError."""
        ...

    def tell(self, what: str, **words: object) -> None:
        """Say something that has no answer."""
        ...

    def settle(self, digests: Iterable[Digest]) -> None:
        """From now on have it fetch nothing but the blobs that have these digests, for ever."""
        ...

    def lacked_memory(self) -> bool:
        """Tell of one that has hung up whether it has ended for want of memory, as far as that shows soon."""
        ...


class FetchedOrigin:
    """A repository that the process that fetches talks to (see Origin); threads share it."""

    def __init__(self, fetcher: Asked, where: str, listen: Listener) -> None:
        self.where = where
        self.number = -1
        self._fetcher = fetcher
        self._listen = listen
        self._lock = Lock()
        self._open: set[socket.socket] = set()
        self._stopped = False

    def manifest(self, reference: str | Digest) -> Document:
        """Fetch the manifest or index of a tag or a digest, and verify it."""
        by_digest = isinstance(reference, Digest)
        data, said = self._whole("manifest", reference=str(reference), by_digest=by_digest)
        media_type = said.get("media_type")
        digest = reference if isinstance(reference, Digest) else Digest.parse(str(said.get("digest")))
        verify(data, digest, f"{self.where}: manifest {reference}")
        return Document(data, digest, media_type if isinstance(media_type, str) else None)

    def tag_hint(self, tag: str) -> tuple[Digest, int] | None:
        """Ask what a tag means now."""
        said = self.ask("tag_hint", list, tag=tag)
        if len(said) == 2 and isinstance(said[0], str) and isinstance(said[1], int):
            return Digest.parse(said[0]), said[1]
        return None

    def tags(self, count: int) -> list[str]:
        """Name some tags."""
        return [tag for tag in self.ask("tags", list, count=count)[:count] if isinstance(tag, str)]

    def referrers(self, subject: Digest, artifact_type: str) -> list[Descriptor]:
        """Name what refers to a manifest and may be of that type."""
        data = self._whole("referrers", subject=str(subject), artifact_type=artifact_type)[0]
        try:
            read = msgspec.json.decode(data, type=list[EntryFields])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise self._gone() from error
        return [read_descriptor(each, f"{self.where}: referrers", f"$[{at}]") for at, each in enumerate(read)]

    def has_blob(self, digest: Digest) -> bool:
        """Say whether a blob is there."""
        return self.ask("has_blob", bool, digest=str(digest))

    def which_blobs(self, digests: Sequence[Digest]) -> set[Digest]:
        """Say which blobs are there (see Origin), asking for several at once: answers may come from far away."""
        there: set[Digest] = set()
        for start in range(0, len(digests), _AT_ONCE):
            with ExitStack() as stack:
                some = digests[start : start + _AT_ONCE]
                asked = [(each, stack.enter_context(self.answer("has_blob", digest=str(each)))) for each in some]
                for digest, answer in asked:
                    if not self._result(answer, bool):
                        return there
                    there.add(digest)
        return there

    def download(self, descriptor: Descriptor) -> FetchedBlob:
        """Prepare the transfer of a blob."""
        return FetchedBlob(self, descriptor)

    def stay(self) -> None:
        """From now on have no other repository opened."""
        self._fetcher.tell("stay")

    def settle(self, digests: Iterable[Digest]) -> None:
        """From now on have nothing fetched but these blobs."""
        self._fetcher.settle(digests)

    def stop(self) -> None:
        """End all waits of other threads, and all that begin."""
        with self._lock:
            self._stopped = True
            for answer in self._open:
                _hang_up(answer)

    def close(self) -> None:
        """Have the connections closed."""
        self.stop()
        self._fetcher.tell("close", origin=self.number)

    def ask(self, what: str, kind: type[T], take: Callable[[bytes], None] | None = None, **words: object) -> T:
        """Ask for a result of a kind, and `take` content that comes with it."""
        with self.answer(what, **words) as answer:
            return self._result(answer, kind, take)

    def frames(self, answer: socket.socket) -> Iterator[tuple[bytes, bytes]]:
        """Yield content and results; notices are passed on, and errors raised."""
        for name, content in frames(answer):
            if name == ERROR:
                raise read_error(content)
            if name == NOTICE:
                self._listen(Notice(str(read_json(content))))
            else:
                yield name, content

    @contextmanager
    def answer(self, what: str, **words: object) -> Iterator[socket.socket]:
        """Ask, and give what the answer comes over. Raises SourceUnreadable where there is none, and Stopped."""
        try:
            answer = self._fetcher.question(what, origin=self.number, **words)
        except ConnectionError as error:
            raise self._gone() from error
        with self._lock:
            self._open.add(answer)
            if self._stopped:
                _hang_up(answer)
        try:
            yield answer
        except (Broken, ConnectionError) as error:
            raise self._gone() from error
        finally:
            with self._lock:
                self._open.discard(answer)
            answer.close()

    def hang_up(self, answer: socket.socket) -> None:
        """End the wait for an answer, if somebody still waits for it."""
        with self._lock:
            if answer in self._open:
                _hang_up(answer)

    def _result(self, answer: socket.socket, kind: type[T], take: Callable[[bytes], None] | None = None) -> T:
        for name, content in self.frames(answer):
            if name == DATA and take is not None:
                take(content)
                continue
            result: Any = read_json(content)
            if not isinstance(result, kind):
                break
            return result
        raise self._gone()

    def _whole(self, what: str, **words: object) -> tuple[bytes, dict[str, Any]]:
        """Ask for a document; give what comes with it, too."""
        data = bytearray()

        def take(chunk: bytes) -> None:
            data.extend(chunk)
            if len(data) > _LONGEST_DOCUMENT:
                raise Broken

        said: dict[str, Any] = self.ask(what, dict, take, **words)
        return bytes(data), said

    def _gone(self) -> BuilderError:
        if self._stopped:
            return Stopped(self.where)
        if self._fetcher.lacked_memory() and (short := shortage(MemoryError())) is not None:
            return short
        return SourceUnreadable(self.where, "the process that fetches has ended, or says what it should not; try again")


class FetchedBlob:
    """One blob on its way (see Transfer)."""

    def __init__(self, origin: FetchedOrigin, descriptor: Descriptor) -> None:
        self._origin = origin
        self._descriptor = descriptor
        self._answer: socket.socket | None = None
        self._stopped = False

    def chunks(self, position: int) -> Generator[bytes, None, None]:
        """Yield the content from `position` on, until there are as many bytes as the descriptor says."""
        blob = self._descriptor
        if position >= blob.size:
            return
        kind = blob.media_type[:_LONGEST_TYPE]
        asked = {"digest": str(blob.digest), "size": blob.size, "media_type": kind}
        try:
            with self._origin.answer("blob", **asked, position=position) as self._answer:
                if self._stopped:
                    raise Stopped(self._origin.where)
                for name, content in self._origin.frames(self._answer):
                    if name != DATA:
                        return
                    position += len(content)
                    if position > blob.size:
                        raise Broken
                    yield content
                raise Stopped(self._origin.where) if self._stopped else Broken
        except BlobMissing as error:
            raise BlobMissing(error.what, blob.urls) from error.__cause__

    def stop(self) -> None:
        """Have the reading thread get Stopped."""
        self._stopped = True
        if self._answer is not None:
            self._origin.hang_up(self._answer)


def _hang_up(answer: socket.socket) -> None:
    # The other side may have done so.
    with suppress(OSError):
        answer.shutdown(socket.SHUT_RDWR)
