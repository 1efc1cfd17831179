"""How requests to one repository are authorized: not at all, by password, or by a bearer token fetched for it.

What is wanted is in a registry's challenges. The token protocol is Docker's (distribution, "Token Authentication
Specification" and "OAuth2"), which all registries speak. Tokens and passwords stay in this file: no message, event or
`repr` has them.
"""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from urllib.parse import urlencode

import msgspec

from builder.errors import SourceUnreadable
from builder.registry.address import Address, is_loopback
from builder.registry.challenges import SCHEMES, Challenge, choose
from builder.registry.credentials import Credentials
from builder.registry.failures import AccessDenied, busy
from builder.registry.http import Http
from builder.registry.retry import retry_after
from builder.words import legible

_MAX_ANSWER = 1 << 20
_PULL, _PUSH = ":pull", ":pull,push"
# In seconds: what the specification has for an answer that does not say, and what is held back for slow requests.
_LIFETIME = 60.0
_LONGEST = 1e9
_MARGIN = 10
_LOG_IN = "log in with podman login, skopeo login or docker login, or name the file of credentials with --authfile"


@dataclass(frozen=True, slots=True)
class _Token:
    text: str = field(repr=False)
    until: float

    def is_fresh(self) -> bool:
        return time.monotonic() < self.until


def scope_of(path: str, *, push: bool = False) -> str:
    """Write what a token for a repository is to be good for, as registries have it."""
    return f"repository:{path}{_PUSH if push else _PULL}"


class Authorization:
    """What to send in the Authorization header for one repository; threads may share one.

    `credentials` looks them up when they are first needed. `where` is the repository, for messages. `scopes` are what
    a token is asked for; the first one is the repository's own.
    """

    def __init__(
        self, http: Http, scopes: Sequence[str], where: str, credentials: Callable[[], Credentials | None]
    ) -> None:
        self._http = http
        self._scopes = tuple(scopes)
        self._where = where
        self._find = credentials
        self._credentials: Credentials | None = None
        self._looked = False
        self._challenge: Challenge | None = None
        self._scoped = False
        self._token: _Token | None = None
        self._lock = Lock()

    def expect(self, headers: Sequence[str]) -> None:
        """Take the challenges of another answer of the registry for a hint at what this repository will want."""
        with self._lock:
            if self._challenge is None:
                self._challenge = choose(headers)

    def header(self, secure: bool) -> str | None:
        """Give the header's value, fetching a token where it takes one; None where none is wanted, or is to be had.

        `secure` says whether the registry is spoken to over TLS. Raises SourceUnreadable for the file of credentials.
        """
        with self._lock:
            if self._challenge is None:
                return None
            self._get_credentials()
            # Nothing was refused yet: what stands in the way is said when the repository asks for it.
            with suppress(AccessDenied, SourceUnreadable):
                return self._value(self._challenge, secure)
            return None

    def meet(self, headers: Sequence[str], refused: Sequence[str | None], secure: bool) -> bool:
        """Take note of the challenges with which the repository refused; say whether another value may do better.

        Without any, what is known so far is tried anew. `refused` are the values that were sent so far. Raises
        AccessDenied for a challenge that is not known here, or a password that there is not, and SourceUnreadable and
        AccessDenied for the token server's failures.
        """
        with self._lock:
            challenge = choose(headers) or self._challenge
            if challenge is None:
                return False
            if challenge.scheme not in SCHEMES:
                asked = legible(challenge.scheme, 20)
                raise AccessDenied(self._where, f"wants to be asked in a way that is not known here: {asked}")
            self._scoped = self._scoped or challenge is not self._challenge
            self._challenge = challenge
            if self._token is not None and refused[-1] == f"Bearer {self._token.text}":
                self._token = None
            bearers = [each for each in refused if each and each.startswith("Bearer ")]
            return len(bearers) < 2 and self._value(challenge, secure) not in refused

    def denied(self, how: str) -> AccessDenied:
        """Make the error for a request that was refused for good; `how` names the answer."""
        who = "the credentials given do not reach it, or there is no such repository: check the name, or "
        if self._pushes:
            who = "the credentials given may not write there: check the name, or "
        if not self._looked or self._credentials is None:
            who = "it is private or there is no such repository: check the name, or "
            if self._pushes:
                who = "not everybody may write there: "
        return AccessDenied(self._where, f"{how}; {who}{_LOG_IN}")

    def _value(self, challenge: Challenge, secure: bool) -> str:
        if challenge.scheme == "bearer":
            if self._token is None or not self._token.is_fresh():
                self._token = self._fetch(challenge, secure)
            return f"Bearer {self._token.text}"
        credentials = self._get_credentials()
        if credentials is None or credentials.identity_token is not None:
            raise AccessDenied(self._where, f"wants a user name and a password: {_LOG_IN}")
        return _basic(credentials)

    def _get_credentials(self) -> Credentials | None:
        if not self._looked:
            self._credentials = self._find()
            self._looked = True
        return self._credentials

    def _fetch(self, challenge: Challenge, secure: bool) -> _Token:
        server = self._token_server(challenge, secure)
        credentials = self._get_credentials()
        service = challenge.parameters.get("service")
        asked = [("service", service)] if service else []
        asked += [("scope", scope) for scope in self._wanted(challenge)]
        began = time.monotonic()
        if credentials is not None and credentials.identity_token is not None:
            form = [("grant_type", "refresh_token"), ("refresh_token", credentials.identity_token)]
            body = urlencode([*form, *asked, ("client_id", "rootfs-builder")]).encode()
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            answer = self._http.request("POST", server, headers, body)
        else:
            headers = {} if credentials is None else {"Authorization": _basic(credentials)}
            if credentials is not None:
                asked.insert(0, ("account", credentials.username))
            answer = self._http.request("GET", server.asking(asked), headers)
        if answer.status in (400, 401, 403):
            raise self.denied(f"the token server {server.place} {answer.explain()}")
        if answer.status == 429 or answer.status >= 500:
            raise busy(server.place, f"the token server {answer.explain()}", answer.status, retry_after(answer.headers))
        if answer.status != 200:
            raise SourceUnreadable(server.place, f"the token server {answer.explain()}; try again later")
        try:
            return _read_token(answer.json(_MAX_ANSWER, "a token"), began, server.place)
        finally:
            answer.close()

    def _wanted(self, challenge: Challenge) -> Sequence[str]:
        """Say what to ask a token for: what the repository named, and of one that is pushed to, all of ours, too."""
        named = challenge.parameters.get("scope") if self._scoped else None
        if not named:
            return self._scopes
        # Some name what a pull takes for a push, too; and nobody wants a token for each of the two.
        is_less = self._pushes and named in (self._scopes[0].replace(_PUSH, _PULL), self._scopes[0])
        return self._scopes if is_less else (named, *(self._scopes if self._pushes else ()))

    @property
    def _pushes(self) -> bool:
        return self._scopes[0].endswith(_PUSH)

    def _token_server(self, challenge: Challenge, secure: bool) -> Address:
        reason = "names no server over https where tokens could be fetched; the registry is set up wrongly"
        try:
            server = Address.parse(challenge.parameters.get("realm", ""))
        except ValueError:
            raise SourceUnreadable(self._where, reason) from None
        # A registry over plain HTTP has no secrets to lose; this machine's own servers lose none.
        if server.scheme == "http" and secure and not is_loopback(server.host):
            raise SourceUnreadable(self._where, reason)
        return server


def _read_token(body: bytes, began: float, where: str) -> _Token:
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        # Without the cause, whose words could quote the token.
        answer = None
    fields = answer if isinstance(answer, dict) else {}
    text = fields.get("token") or fields.get("access_token")
    # A token is part of a header line.
    if not isinstance(text, str) or not text.isascii() or not text.isprintable():
        raise SourceUnreadable(where, "the token server's answer holds no token; try again later")
    lifetime = _lifetime(fields.get("expires_in"))
    return _Token(text, began + max(lifetime - _MARGIN, lifetime / 2))


def _lifetime(said: object) -> float:
    """Read how many seconds a token is good for; what is no such number, or absurd, says nothing."""
    try:
        seconds = float(said) if isinstance(said, (str, int, float)) and not isinstance(said, bool) else _LIFETIME
    except (ValueError, OverflowError):
        return _LIFETIME
    return seconds if 0 <= seconds <= _LONGEST else _LIFETIME


def _basic(credentials: Credentials) -> str:
    # As Go has it, a password may be any bytes.
    pair = f"{credentials.username}:{credentials.password}".encode(errors="surrogateescape")
    return "Basic " + b64encode(pair).decode()
