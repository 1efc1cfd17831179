"""One repository of a registry: its manifests, blobs and tags (OCI distribution-spec, "Pull", "Content Discovery")."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from threading import Event, Lock
from typing import TypeVar
from urllib.parse import quote

import msgspec
import urllib3

from builder.errors import DigestMismatch, InvalidDigest, SourceUnreadable, UnsupportedImage
from builder.events import Listener
from builder.image.digest import Digest
from builder.image.document import MAX_DOCUMENT_SIZE
from builder.image.media_types import INDEXES, MANIFESTS, SCHEMA_1
from builder.image.name import DOCKER_HUB
from builder.registry import RegistryAccess
from builder.registry.authorization import Authorization
from builder.registry.credentials import find_credentials
from builder.registry.failures import AccessDenied, NoTls, NotThere, Passing, answered
from builder.registry.http import Http, discard, is_loopback, origin, read_up_to
from builder.registry.retry import Patience, retry_after

# Where Docker Hub really answers; credentials for it stand under its own name.
_HUB = "registry-1.docker.io"
_ACCEPT = ", ".join(sorted(MANIFESTS | INDEXES))
_MAX_ERROR = 64 * 1024
# From servers that know GET only.
_NO_HEAD = frozenset({405, 501})
_PASSING = frozenset({408, 429, 500, 502, 503, 504})

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Document:
    """A manifest or index as the registry sent it, its digest computed here; `media_type` is None if unsaid."""

    data: bytes
    digest: Digest
    media_type: str | None


class _Tags(msgspec.Struct):
    tags: list[str] | None = None


class Repository:
    """The repository `path` of the registry `host`; it is first spoken to when something is asked for.

    `stop` ends waiting; `listen` is told when there is some. Every method raises SourceUnreadable for what goes wrong
    on the way, AccessDenied, and MissingRequirement for a missing credential helper.
    """

    def __init__(self, host: str, path: str, access: RegistryAccess, stop: Event, listen: Listener) -> None:
        self.host = host
        self.path = path
        self.where = f"{host}/{path}"
        self.stop = stop
        self.listen = listen
        self._access = access
        self._server = _HUB if host == DOCKER_HUB else host
        self._http = Http(access, self._server)
        self._authorization = Authorization(
            self._http, host, path, self.where, lambda: find_credentials(access.authfile, host, path)
        )
        self._base: str | None = None
        self._lock = Lock()

    def manifest(self, reference: str | Digest) -> Document:
        """BackgroundDownload the manifest or index of a tag or a digest; raises NotThere.

        Raises DigestMismatch when its bytes have not the digest that was asked for, or that the registry states, and
        UnsupportedImage past MAX_DOCUMENT_SIZE bytes.
        """
        what = f"{self.where}: manifest {reference}"
        response, data = self._persist(
            lambda: self._fetch(f"manifests/{reference}", {"Accept": _ACCEPT}, MAX_DOCUMENT_SIZE + 1)
        )
        if len(data) > MAX_DOCUMENT_SIZE:
            raise UnsupportedImage(what, f"documents of more than {MAX_DOCUMENT_SIZE} bytes are refused")
        expected = reference if isinstance(reference, Digest) else _stated_digest(response, what)
        digest = Digest.of(data, expected.algorithm if expected else "sha256")
        if expected is not None and digest != expected:
            raise DigestMismatch(what, str(expected), str(digest))
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        # Other types are a careless server's, as text/plain: then the document says what it is.
        return Document(data, digest, kind if kind in MANIFESTS | INDEXES | SCHEMA_1 else None)

    def tag_digest(self, tag: str) -> Digest | None:
        """Ask what a tag means now, without fetching it; None where the registry does not say."""
        response = self._persist(lambda: self._ask("HEAD", f"manifests/{tag}", {"Accept": _ACCEPT}, also=_NO_HEAD))
        discard(response)
        return _stated_digest(response, f"{self.where}: manifest {tag}")

    def has_blob(self, digest: Digest) -> bool:
        """Say whether a blob is there, as far as the registry itself knows: redirects are not followed."""
        try:
            discard(self._persist(lambda: self._ask("HEAD", f"blobs/{digest}", {}, also=_NO_HEAD)))
        except NotThere:
            return False
        return True

    def blob(self, digest: Digest, position: int) -> urllib3.BaseHTTPResponse:
        """Ask once for a blob from a position on, in bytes; the answer is 200, 206 or 416. Raises Passing, NotThere."""
        headers = {"Range": f"bytes={position}-"} if position else {}
        return self._ask("GET", f"blobs/{digest}", headers, also=frozenset({416}))

    def tags(self, count: int) -> list[str]:
        """Name some tags, for a message; none where the registry does not tell."""
        try:
            # Once: what is found out for a message is not worth a wait.
            _, data = self._fetch(f"tags/list?n={count}", {}, MAX_DOCUMENT_SIZE)
            return (msgspec.json.decode(data, type=_Tags).tags or [])[:count]
        except (SourceUnreadable, AccessDenied, NotThere, msgspec.MsgspecError, UnicodeDecodeError):
            return []

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _fetch(self, resource: str, headers: Mapping[str, str], limit: int) -> tuple[urllib3.BaseHTTPResponse, bytes]:
        response = self._ask("GET", resource, headers)
        data = read_up_to(limit, response, self.host)
        discard(response)
        return response, data

    def _persist(self, attempt: Callable[[], _Result]) -> _Result:
        patience = Patience(self.stop, self.listen)
        while True:
            try:
                return attempt()
            except Passing as error:
                if error.dialling and self._base is None:
                    raise  # more likely a wrong name or port than a short failure
                patience.wait(error)

    def _ask(
        self, method: str, resource: str, headers: Mapping[str, str], also: frozenset[int] = frozenset()
    ) -> urllib3.BaseHTTPResponse:
        """Send one request, with another token if the first is refused; raises what an answer means that is no success.

        `also` are statuses to return besides successes, and besides redirects where they are not followed.
        """
        base = self._connect()
        secure = origin(base)[0] == "https"
        url = f"{base}{quote(self.path)}/{resource}"
        for last in (False, True):
            authorization = self._authorization.header(secure)
            sent = {**headers, "Authorization": authorization} if authorization else dict(headers)
            response = self._http.request(method, url, sent)
            if 200 <= response.status < 400 or response.status in also:
                return response
            challenges = response.headers.getlist("WWW-Authenticate")
            body = read_up_to(_MAX_ERROR, response, self.host)
            discard(response)
            if response.status == 401 and not last and challenges and self._authorization.reject(authorization):
                self._authorization.meet(challenges, scoped=True)
                continue
            raise self._meaning(response, body)
        raise AssertionError("the loop returns or raises")

    def _meaning(self, response: urllib3.BaseHTTPResponse, body: bytes) -> Exception:
        how = answered(response, body)
        if response.status in (401, 403):
            return self._authorization.denied(how)
        if response.status == 404:
            return NotThere(how)
        if response.status in _PASSING:
            return Passing(self.host, how, retry_after(response.headers))
        return SourceUnreadable(self.where, f"{how}, which registries should not; check the address")

    def _connect(self) -> str:
        """Find out, once, if the registry speaks TLS and what authorization it wants (spec, "Determining Support").

        Returns the URL of the repositories.
        """
        with self._lock:
            if self._base is None:
                self._base = self._try_schemes()
            return self._base

    def _try_schemes(self) -> str:
        refused: SourceUnreadable | None = None
        try:
            for scheme in self._schemes():
                try:
                    return self._try(f"{scheme}://{self._server}/v2/")
                except (NoTls, Passing) as error:
                    # Nothing behind the port for TLS, as behind 443 when plain HTTP is at 80, counts as well.
                    if isinstance(error, Passing) and not error.dialling:
                        raise
                    refused = refused or error
            assert refused is not None
            raise refused
        finally:
            refused = None  # its traceback has this frame, and a socket: together they would wait for the collector

    def _schemes(self) -> Iterator[str]:
        yield "https"
        if not self._access.tls_verify or is_loopback(origin(f"https://{self._server}")[1]):
            yield "http"

    def _try(self, url: str) -> str:
        response = self._http.request("GET", url, {})
        challenges = response.headers.getlist("WWW-Authenticate")
        body = read_up_to(_MAX_ERROR, response, self.host)
        discard(response)
        if response.status == 401 and challenges:
            self._authorization.meet(challenges, scoped=False)
        elif response.status in _PASSING:
            raise Passing(self.host, answered(response, body), retry_after(response.headers))
        # Anything else, 404 too, is the repositories' to explain.
        return url


def _stated_digest(response: urllib3.BaseHTTPResponse, what: str) -> Digest | None:
    text = response.headers.get("Docker-Content-Digest")
    if not text:
        return None
    try:
        return Digest.parse(text)
    except InvalidDigest as error:
        raise SourceUnreadable(what, f"the registry states no digest of it but {text[:100]!a}") from error
