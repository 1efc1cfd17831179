"""How requests to one repository are authorized: not at all, by password, or by a bearer token fetched for it.

The token protocol is Docker's (distribution, "Token Authentication Specification" and "OAuth2"), which all registries
speak. Tokens and passwords stay in this file: no message, event or `repr` has them.
"""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Annotated
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec

from builder.errors import SourceUnreadable
from builder.registry.challenge import Challenge, parse_challenges
from builder.registry.credentials import Credentials
from builder.registry.failures import AccessDenied, Passing, answered
from builder.registry.http import Http, discard, display, is_loopback, read_up_to
from builder.registry.retry import retry_after
from builder.words import legible

_MAX_ANSWER = 1 << 20
# In seconds: what the specification has for an answer that does not say, and what is held back for slow requests.
_LIFETIME = 60
_MARGIN = 10
_LOG_IN = "log in with podman login, skopeo login or docker login, or name the file of credentials with --authfile"


class _Answer(msgspec.Struct):
    token: str | None = None
    access_token: str | None = None
    expires_in: Annotated[float, msgspec.Meta(ge=0, le=1e9)] | None = None


@dataclass(frozen=True, slots=True)
class _Token:
    text: str = field(repr=False)
    until: float

    def is_fresh(self) -> bool:
        return time.monotonic() < self.until


class Authorization:
    """What to send in the Authorization header for one repository; threads may share one.

    `credentials` looks them up when they are first needed. `where` is the repository, for messages.
    """

    def __init__(
        self, http: Http, host: str, path: str, where: str, credentials: Callable[[], Credentials | None]
    ) -> None:
        self._http = http
        self._host = host
        self._scope = f"repository:{path}:pull"
        self._where = where
        self._find = credentials
        self._credentials: Credentials | None = None
        self._looked = False
        self._challenge: Challenge | None = None
        self._scoped = False
        self._token: _Token | None = None
        self._lock = Lock()

    def meet(self, headers: Sequence[str], scoped: bool) -> None:
        """Take note of the challenges that came with a 401 answer.

        Only those for this repository are `scoped`: others name a scope, if any, as an example.

        Raises AccessDenied for none that is known here, or for a password asked for where there is none.
        """
        challenges = [each for header in headers for each in parse_challenges(header)]
        by_scheme = {each.scheme: each for each in reversed(challenges)}
        with self._lock:
            self._challenge = by_scheme.get("bearer") or by_scheme.get("basic")
            self._scoped = scoped
            if self._challenge is None:
                asked = ", ".join(legible(scheme, 20) for scheme in by_scheme) or "none"
                raise AccessDenied(self._where, f"wants to be asked in a way that is not known here: {asked}")

    def header(self, secure: bool) -> str | None:
        """Give the header's value, fetching a token where it takes one; None where none is wanted.

        `secure` says whether the registry is spoken to over TLS. Raises AccessDenied and SourceUnreadable.
        """
        with self._lock:
            if self._challenge is None:
                return None
            if self._challenge.scheme == "basic":
                credentials = self._get_credentials()
                if credentials is None or credentials.identity_token is not None:
                    raise AccessDenied(self._where, f"wants a user name and a password: {_LOG_IN}")
                return _basic(credentials)
            if self._token is None or not self._token.is_fresh():
                self._token = self._fetch(self._challenge, secure)
            return f"Bearer {self._token.text}"

    def reject(self, value: str | None) -> bool:
        """Be told that the registry refused this value; say whether another may do better."""
        with self._lock:
            if self._token is not None and value == f"Bearer {self._token.text}":
                self._token = None
            return value is None or value.startswith("Bearer ")

    def denied(self, how: str) -> AccessDenied:
        """Make the error for a request that was refused for good; `how` names the answer."""
        who = "the credentials given do not reach it, or there is no such repository: check the name, or "
        if not self._looked or self._credentials is None:
            who = "it is private or there is no such repository: check the name, or "
        return AccessDenied(self._where, f"{how}; {who}{_LOG_IN}")

    def _get_credentials(self) -> Credentials | None:
        if not self._looked:
            self._credentials = self._find()
            self._looked = True
        return self._credentials

    def _fetch(self, challenge: Challenge, secure: bool) -> _Token:
        realm = challenge.parameters.get("realm", "")
        try:
            parts = urlsplit(realm)
        except ValueError:
            parts = urlsplit("")  # and refused below
        where = display(parts)
        allowed = parts.scheme == "https" or (
            # A registry over plain HTTP has no secrets to lose; this machine's own servers lose none.
            parts.scheme == "http" and (not secure or is_loopback(parts.hostname or ""))
        )
        if not allowed or not parts.hostname:
            reason = "names no server over https where tokens could be fetched; the registry is set up wrongly"
            raise SourceUnreadable(self._where, reason)
        credentials = self._get_credentials()
        service = challenge.parameters.get("service")
        asked = [("service", service)] if service else []
        scope = challenge.parameters.get("scope") if self._scoped else None
        asked.append(("scope", scope or self._scope))
        began = time.monotonic()
        base = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))
        if credentials is not None and credentials.identity_token is not None:
            form = [("grant_type", "refresh_token"), ("refresh_token", credentials.identity_token)]
            body = urlencode([*form, *asked, ("client_id", "rootfs-builder")]).encode()
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            response = self._http.request("POST", base, headers, body)
        else:
            headers = {} if credentials is None else {"Authorization": _basic(credentials)}
            if credentials is not None:
                asked.insert(0, ("account", credentials.username))
            url = f"{base}{'&' if parts.query else '?'}{urlencode(asked)}"
            response = self._http.request("GET", url, headers)
        body = read_up_to(_MAX_ANSWER, response, where)
        discard(response)
        if response.status in (400, 401, 403):
            raise self.denied(f"the token server {where} {answered(response, body)}")
        if response.status == 429 or response.status >= 500:
            raise Passing(where, f"the token server {answered(response, body)}", retry_after(response.headers))
        return self._read_token(body if response.status == 200 else b"", began, where)

    def _read_token(self, body: bytes, began: float, where: str) -> _Token:
        try:
            answer = msgspec.json.decode(body, type=_Answer)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            # Without the cause, whose words could quote the token.
            answer = _Answer()
        text = answer.token or answer.access_token or ""
        # A token is part of a header line.
        if not text or not text.isascii() or not text.isprintable():
            raise SourceUnreadable(where, "the token server's answer holds no token; try again later")
        lifetime = _LIFETIME if answer.expires_in is None else answer.expires_in
        return _Token(text, began + max(lifetime - _MARGIN, lifetime / 2))


def _basic(credentials: Credentials) -> str:
    return "Basic " + b64encode(f"{credentials.username}:{credentials.password}".encode()).decode()
