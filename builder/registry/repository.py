"""One repository of a registry: its manifests, blobs and tags (OCI distribution-spec, "Pull", "Content Discovery").

What a registry says to HEAD, or of `/v2/`, is a hint: only what it answers to a GET of the repository is believed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from threading import Event, Lock
from typing import TypeVar
from urllib.parse import quote

import msgspec

from builder.errors import InvalidDigest, SourceUnreadable, UnsupportedImage
from builder.events import Listener
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.document import MAX_DOCUMENT_SIZE
from builder.image.manifest import parse_document
from builder.image.media_types import INDEXES, MANIFESTS, SCHEMA_1
from builder.image.name import DOCKER_HUB
from builder.image.verifier import verify
from builder.registry import RegistryAccess
from builder.registry.address import Address, Origin
from builder.registry.authorization import Authorization, scope_of
from builder.registry.credentials import find_credentials
from builder.registry.failures import AccessDenied, NotThere, Passing, Refused, busy
from builder.registry.http import Answer, Http
from builder.registry.origin import Document
from builder.registry.pool import Body
from builder.registry.retry import Patience, retry_after
from builder.registry.scheme import Scheme

# Where Docker Hub really answers; credentials for it stand under its own name.
_HUB = "registry-1.docker.io"
_ACCEPT = {"Accept": ", ".join(sorted(MANIFESTS | INDEXES))}
_PASSING = frozenset({408, 429, 500, 502, 503, 504})

_Result = TypeVar("_Result")


class _Tags(msgspec.Struct):
    tags: list[str] | None = None


class Repository:
    """The repository `path` of the registry `host`; it is first spoken to when something is asked for.

    `stop` ends waiting; `listen` is told when there is some. With `push` it may be written to, and `beside` are paths
    of repositories there from which blobs may be taken. Every method raises SourceUnreadable for what goes wrong on the
    way, and AccessDenied.
    """

    def __init__(
        self,
        host: str,
        path: str,
        access: RegistryAccess,
        stop: Event,
        listen: Listener,
        *,
        push: bool = False,
        beside: Sequence[str] = (),
    ) -> None:
        self.host = host
        self.path = path
        self.where = f"{host}/{path}"
        self.stop = stop
        self.listen = listen
        self._access = access
        self._server = _HUB if host == DOCKER_HUB else host
        self._http = Http(access, self._server, host)
        scopes = [scope_of(path, push=push), *map(scope_of, beside)]
        find = partial(find_credentials, access.authfile, host, path, listen, access.helpers)
        self._authorization = Authorization(self._http, scopes, self.where, find)
        self._scheme = Scheme(self._http, self._server, self.where, not access.tls_verify, self._authorization.expect)
        # By where we were redirected to.
        self._introductions: dict[Origin, Authorization] = {}
        self._lock = Lock()

    def manifest(self, reference: str | Digest) -> Document:
        """Fetch the manifest or index of a tag or a digest; raises NotThere.

        Raises DigestMismatch when its bytes have not the digest that was asked for, or that the registry states, and
        UnsupportedImage past MAX_DOCUMENT_SIZE bytes and for schema 1.
        """
        what = f"{self.where}: manifest {reference}"
        answer, data = self.persist(lambda: self._fetch(f"manifests/{reference}", _ACCEPT, "a manifest"))
        if len(data) > MAX_DOCUMENT_SIZE:
            raise UnsupportedImage(what, f"documents of more than {MAX_DOCUMENT_SIZE} bytes are refused")
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind in SCHEMA_1:
            # Refused for that: the digest that is stated of a signed one is not of these bytes.
            parse_document(data, kind, what)
        expected = reference if isinstance(reference, Digest) else _stated_digest(answer)
        if expected is not None:
            verify(data, expected, what)
        # Other types are a careless server's, as text/plain: then the document says what it is.
        known = kind if kind in MANIFESTS | INDEXES else None
        return Document(data, expected or Digest.of(data), known, answer.headers.get("ETag"))

    def tag_hint(self, tag: str) -> tuple[Digest, int] | None:
        """Ask what a tag means now, without fetching it: digest and size; None where the registry does not say both."""
        answer = self._hint(f"manifests/{tag}", _ACCEPT)
        if answer is None or answer.length is None or (digest := _stated_digest(answer)) is None:
            return None
        return digest, answer.length

    def has_blob(self, digest: Digest) -> bool:
        """Say whether a blob is there."""
        resource = f"blobs/{digest}"
        if self._hint(resource, {}) is not None:
            return True
        try:
            self.persist(lambda: self.ask("GET", resource, {})).close()
        except NotThere:
            return False
        return True

    def holds(self, descriptor: Descriptor) -> bool:
        """Say whether a blob is there, as far as the registry says so at once."""
        answer = self._hint(f"blobs/{descriptor.digest}", {})
        # The length that a redirect states is its own.
        return answer is not None and (answer.status >= 300 or answer.length in (None, descriptor.size))

    def blob(self, digest: Digest, position: int) -> Answer:
        """Ask once for a blob from a position on, in bytes; the answer is 200, 206 or 416. Raises Passing, NotThere."""
        headers = {"Range": f"bytes={position}-"} if position else {}
        return self.ask("GET", f"blobs/{digest}", headers, also=frozenset({416}))

    def tags(self, count: int) -> list[str]:
        """Name some tags, for a message; none where the registry does not tell."""
        try:
            # Once: what is found out for a message is not worth a wait.
            _, data = self._fetch(f"tags/list?n={count}", {}, "a list of tags")
            return (msgspec.json.decode(data, type=_Tags).tags or [])[:count]
        except (SourceUnreadable, AccessDenied, NotThere, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return []

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _fetch(self, resource: str, headers: Mapping[str, str], what: str) -> tuple[Answer, bytes]:
        answer = self.ask("GET", resource, headers)
        try:
            data = answer.json(MAX_DOCUMENT_SIZE + 1, what)
            if not data:
                raise Refused(self.where, f"{answer.explain()}, and nothing where {what} should be", answer.status)
            return answer, data
        finally:
            answer.close()

    def _hint(self, resource: str, headers: Mapping[str, str]) -> Answer | None:
        """Ask with HEAD; None where that fails, for whatever reason. Redirects count as success."""
        self.persist(self._scheme.base)
        try:
            answer = self.ask("HEAD", resource, headers)
        except (SourceUnreadable, AccessDenied, NotThere):
            return None
        answer.discard()
        return answer

    def persist(self, attempt: Callable[[], _Result]) -> _Result:
        """Try as long as what fails may pass; raises what did not pass."""
        patience = Patience(self.stop, self.listen)
        while True:
            try:
                return attempt()
            except Passing as error:
                if error.dialling and not self._scheme.is_known:
                    raise  # more likely a wrong name or port than a short failure
                patience.wait(error)

    def ask(
        self,
        method: str,
        place: str | Address,
        headers: Mapping[str, str],
        also: frozenset[int] = frozenset(),
        body: bytes | Body | None = None,
        within: float | None = None,
        follow: bool = True,
    ) -> Answer:
        """Send one request, again with what a challenge asks for; raises what an answer means that is no success.

        `place` is a resource of the repository, or where the registry said to go: elsewhere it gets no Authorization.
        `also` are statuses to return besides successes, and besides redirects where they are not followed; `within`
        and `follow` are as for Http. Raises NotThere, AccessDenied, Refused, Passing and other SourceUnreadable.
        """
        base = self._scheme.base()
        address = place if isinstance(place, Address) else self.address(place)
        if address.origin != base.origin:
            return self._ask_elsewhere(self._http.request(method, address, headers, body, within=within), also)
        secure = base.scheme == "https"
        refused: list[str | None] = []
        while True:
            authorization = self._authorization.header(secure)
            sent = {**headers, "Authorization": authorization} if authorization else dict(headers)
            answer = self._http.request(method, address, sent, body, follow, within, self._introduce)
            if 200 <= answer.status < 400 or answer.status in also:
                return answer
            how = answer.explain()
            refused.append(authorization)
            # 400 is what some answer to a token that has expired.
            asked = answer.status == 401 or (answer.status == 400 and authorization is not None)
            challenges = answer.headers.getlist("WWW-Authenticate")
            if not asked or not self._authorization.meet(challenges, refused, secure):
                raise self._meaning(answer, how)

    def address(self, resource: str) -> Address:
        """Tell where a resource of the repository is."""
        return self._scheme.base().follow(f"{quote(self.path)}/{resource}")

    def _introduce(self, address: Address, challenges: Sequence[str]) -> str | None:
        """Get what another registry, which this one redirects to, takes of anybody: passwords do not go there."""
        with self._lock:
            scopes = [scope_of(self.path)]
            known = self._introductions.setdefault(
                address.origin, Authorization(self._http, scopes, address.place, lambda: None)
            )
        secure = address.scheme == "https"
        with suppress(AccessDenied):
            return known.header(secure) if known.meet(challenges, [None], secure) else None
        return None

    def _ask_elsewhere(self, answer: Answer, also: frozenset[int]) -> Answer:
        """Judge an answer from another host, whose challenges are not met: our credentials are for this one."""
        if 200 <= answer.status < 400 or answer.status in also:
            return answer
        how = answer.explain()
        if answer.status in (401, 403):
            raise SourceUnreadable(answer.place, f"{how} where {self.host} sends us; check the network and its proxy")
        raise self._meaning(answer, how)

    def _meaning(self, answer: Answer, how: str) -> Exception:
        if answer.status in (401, 403):
            return self._authorization.denied(how)
        if answer.status == 404:
            return NotThere(how)
        if answer.status in _PASSING:
            return busy(self.host, how, answer.status, retry_after(answer.headers))
        return Refused(self.where, how, answer.status)


def _stated_digest(answer: Answer) -> Digest | None:
    """Read what the registry says is the digest; None where that is nothing or no digest."""
    try:
        return Digest.parse(answer.headers.get("Docker-Content-Digest", ""))
    except InvalidDigest:
        return None
