"""One blob, or one manifest, on its way into a repository (OCI distribution-spec, "Push").

A blob goes in one PATCH as long as all goes well, as Docker and skopeo send it: registries that limit the size of one
are fewer than those that get several wrong. What breaks off goes on where the registry says that it is, or anew.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

from builder.errors import BuilderError, SourceUnreadable
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.registry.address import Address
from builder.registry.connection import HEAD_TIMEOUT
from builder.registry.failures import AccessDenied, NotThere, Passing, Refused
from builder.registry.http import Answer, redirected
from builder.registry.pool import Body
from builder.registry.repository import Repository
from builder.registry.retry import ENOUGH_PROGRESS, Patience
from builder.words import legible

# In seconds: who takes less than ENOUGH_PROGRESS in that time has as good as stopped reading.
SLOW = 60.0
# In seconds, for the end of a session nobody needs any more: it must not keep who presses Ctrl-C.
_CANCEL_TIMEOUT = 3.0
# In bytes a second: how fast the slowest registry hashes or moves what was sent, before it answers to the end of it.
_DIGESTING = 8 << 20
# In bytes: up to that a blob goes with the request that ends its session.
_SMALL = 64 * 1024
_MAX_REDIRECTS = 5
_ELSEWHERE = frozenset({307, 308})
_RANGE = re.compile(r"(?:bytes=)?0-([0-9]{1,19})", re.ASCII)
_OCTETS = {"Content-Type": "application/octet-stream"}
# By status: why a registry takes nothing, and what to do about it.
_ADVICE = {
    405: "the registry takes nothing: it is read-only, knows no such type, or is no registry",
    412: "the registry takes no more: look at its quota, and whether it lets that tag be replaced",
    413: "the registry, or a proxy before it, takes no blob of that size: raise its limit",
    507: "the registry has no more room: free some there",
}
# GitLab's has a list of types.
_UNEXPLAINED = "the registry does not take this: some take only types that they know; look at its log, or try another"


class UploadRefused(BuilderError):
    """A registry does not take what it was sent; `where` is the repository, `reason` what it said and what to do.

    `status` is what it answered, where it was not that there is no such place.
    """

    def __init__(self, where: str, reason: str, status: int | None = None) -> None:
        super().__init__(f"{where}: {reason}")
        self.where = where
        self.reason = reason
        self.status = status


class Upload:
    """One blob for a repository. `content` reads it from a position on, in bytes, and raises errors of its own.

    `source` is the path of a repository of this registry that may have the blob. `meter` is told how many bytes of it
    are there.
    """

    def __init__(
        self,
        repository: Repository,
        descriptor: Descriptor,
        content: Callable[[int], Iterator[bytes]],
        source: str | None = None,
        meter: Callable[[int], None] = lambda _position: None,
    ) -> None:
        self._repository = repository
        self._descriptor = descriptor
        self._content = content
        self._source = source
        self._meter = meter
        self._session: Address | None = None

    def send(self) -> bool:
        """Bring the blob there, unless it is there already or can be taken from beside; say whether it was sent.

        Raises SourceUnreadable, AccessDenied, UploadRefused; however it ends, no session is left open there.
        """
        patience = Patience(self._repository.stop, self._repository.listen)
        reached, tried = 0, False
        try:
            while not self._repository.holds(self._descriptor):
                resumed = self._session is not None
                try:
                    if not resumed and self._begin():
                        return False
                    position = self._position() if resumed else 0
                    # Only what is new counts: a registry that forgets is not served for ever.
                    patience.progress(position - reached)
                    reached, tried = max(reached, position), True
                    self._append(position)
                    self._end()
                    return True
                except Passing as error:
                    patience.wait(error)
                except (NotThere, Refused) as error:
                    if not resumed:
                        raise _refusal(self._repository, error) from error
                    # What is left of the session is no use; the failure before has been waited for.
                    self._cancel()
            return tried
        finally:
            self._cancel()

    def _begin(self) -> bool:
        """Begin a session; True where the registry takes the blob from beside instead (spec, "Mounting a blob")."""
        place = self._repository.address("blobs/uploads/")
        taken = None
        if self._source:
            mount = place.asking([("mount", str(self._descriptor.digest)), ("from", self._source)])
            # Registries differ in what they answer who may not read there.
            with suppress(NotThere, Refused, AccessDenied):
                taken = self._ask("POST", mount)
            if taken is not None and taken[0].status == 201:
                return True
        self._follow(*(taken or self._ask("POST", place)))
        if self._session is None:
            reason = "names no place to send a blob to; the registry is set up wrongly"
            raise SourceUnreadable(self._repository.host, reason)
        return False

    def _position(self) -> int:
        """Ask how much of the blob is there, and where the rest goes."""
        assert self._session is not None
        answer, place = self._ask("GET", self._session)
        self._follow(answer, place)
        return self._there(answer)

    def _there(self, answer: Answer) -> int:
        match = _RANGE.fullmatch(answer.headers.get("Range", ""))
        # 0-0 is the first byte, or, as registries have it, none.
        position = int(match[1]) + 1 if match and int(match[1]) else 0
        if position > self._descriptor.size:
            raise Refused(self._repository.where, "has more of a blob than there is", answer.status)
        return position

    def _append(self, position: int) -> None:
        size = self._descriptor.size
        if position == size or size <= _SMALL:
            return
        assert self._session is not None
        headers = _OCTETS | ({"Content-Range": f"{position}-{size - 1}"} if position else {})
        body = Body(size - position, lambda: self._watched(position))
        answer, place = self._ask("PATCH", self._session, headers, body)
        self._follow(answer, place)
        # Without a Range, all was taken; if it was not, the digest will tell.
        if "Range" in answer.headers and self._there(answer) < size:
            raise Passing(self._repository.host, "took only a part of a blob")

    def _watched(self, position: int) -> Iterator[bytes]:
        """Yield the content from `position` on; raises Passing when next to nothing of it is taken."""
        began, taken = time.monotonic(), 0
        for chunk in self._content(position):
            yield chunk
            taken += len(chunk)
            position += len(chunk)
            self._meter(position)
            if time.monotonic() - began > SLOW:
                if taken < ENOUGH_PROGRESS:
                    raise Passing(self._repository.host, "takes next to nothing")
                began, taken = time.monotonic(), 0

    def _end(self) -> None:
        """Say that this is all, and what its digest is."""
        assert self._session is not None
        size, digest = self._descriptor.size, self._descriptor.digest
        body = Body(size, lambda: self._watched(0)) if size <= _SMALL else b""
        place = self._session.asking([("digest", str(digest))])
        self._ask("PUT", place, _OCTETS, body, within=HEAD_TIMEOUT + size / _DIGESTING)
        self._session = None

    def _ask(
        self,
        method: str,
        place: Address,
        headers: dict[str, str] | None = None,
        body: Body | bytes | None = None,
        within: float | None = None,
    ) -> tuple[Answer, Address]:
        """Send a request where the registry wants it, and be done with the content of the answer; say who gave it."""
        for _ in range(_MAX_REDIRECTS):
            answer = self._repository.ask(method, place, headers or {}, body=body, within=within)
            answer.discard()
            location = answer.headers.get("Location")
            if answer.status not in _ELSEWHERE or not location:
                if answer.status >= 300:
                    raise Refused(self._repository.where, f"answered {answer.status}", answer.status)
                return answer, place
            place = redirected(place, location)
        reason = f"redirects more than {_MAX_REDIRECTS} times; the registry is set up wrongly"
        raise SourceUnreadable(self._repository.host, reason)

    def _follow(self, answer: Answer, place: Address) -> None:
        """Go on where the answer says."""
        if location := answer.headers.get("Location"):
            self._session = redirected(place, location)

    def _cancel(self) -> None:
        """End the session, if there is one, without a word: it costs the registry some room at worst."""
        session, self._session = self._session, None
        if session is not None:
            with suppress(SourceUnreadable, AccessDenied, NotThere, UploadRefused):
                self._repository.ask("DELETE", session, {}, within=_CANCEL_TIMEOUT).discard()


def put_manifest(
    repository: Repository,
    reference: str | Digest,
    data: bytes,
    media_type: str,
    condition: Mapping[str, str] | None = None,
) -> Answer:
    """Put a manifest or an index, all of whose blobs are there, under a tag or its digest; returns the answer's head.

    `condition` are headers that say when (RFC 9110, 13.1). Raises SourceUnreadable, AccessDenied, and UploadRefused.
    """
    headers = {"Content-Type": media_type, **(condition or {})}
    try:
        answer = repository.persist(lambda: repository.ask("PUT", f"manifests/{reference}", headers, body=data))
    except (Refused, NotThere) as error:
        raise _refusal(repository, error) from error
    answer.discard()
    if answer.status >= 300:
        # A redirect is not followed here, but the manifest was not taken.
        raise _refusal(repository, Refused(repository.where, f"answered {answer.status}", answer.status))
    stated = answer.headers.get("Docker-Content-Digest")
    if stated is not None and stated != str(Digest.of(data)) and stated.startswith("sha256:"):
        reason = f"says that the manifest it was sent is {legible(stated, 100)}, which it is not"
        raise UploadRefused(repository.where, reason)
    return answer


def _refusal(repository: Repository, error: Refused | NotThere) -> UploadRefused:
    if isinstance(error, NotThere):
        return UploadRefused(repository.where, f"{error}; there is no such repository: make it there first")
    advice = _ADVICE.get(error.status, _UNEXPLAINED)
    return UploadRefused(repository.where, f"{error.how}; {advice}", error.status)
