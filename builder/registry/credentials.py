"""Credentials for registries, where podman, skopeo and Docker keep them (containers-auth.json(5))."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from builder.errors import SourceUnreadable
from builder.image.document import MAX_DOCUMENT_SIZE
from builder.image.name import DOCKER_HUB
from builder.registry.helper import ask_helper

# Docker's own key for its Hub, from the days of the first version of the protocol.
_HUB_SERVER = "https://index.docker.io/v1/"
_HUB_HOSTS = frozenset({DOCKER_HUB, "index.docker.io", "registry-1.docker.io"})
# A helper's user name for a secret that is an identity token.
_IDENTITY_TOKEN = "<token>"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and password, or an identity token, for which the token server hands out access tokens."""

    username: str
    password: str = field(default="", repr=False)
    identity_token: str | None = field(default=None, repr=False)


class _Entry(msgspec.Struct):
    auth: str | None = None
    username: str | None = None
    password: str | None = None
    identitytoken: str | None = None


class _AuthFile(msgspec.Struct):
    auths: dict[str, _Entry | None] | None = None
    cred_helpers: dict[str, str] | None = msgspec.field(default=None, name="credHelpers")
    creds_store: str | None = msgspec.field(default=None, name="credsStore")


def find_credentials(authfile: Path | None, host: str, path: str) -> Credentials | None:
    """Find the credentials for the repository `path` at `host`; None where there are none.

    The first file that has some counts: `authfile` or else $REGISTRY_AUTH_FILE alone where one is given, then podman's
    and Docker's own. Raises SourceUnreadable and ToolMissing.
    """
    given = authfile or (Path(named) if (named := os.environ.get("REGISTRY_AUTH_FILE")) else None)
    for file in (given,) if given else auth_files(os.environ):
        content = _read(file, must_exist=given is not None)
        found = _look_up(content, file, host, path) if content else None
        if found is not None:
            return found
    return None


def auth_files(environment: Mapping[str, str]) -> Iterator[Path]:
    """Name the files that may hold credentials, in the order in which podman looks into them."""
    home = Path(environment.get("HOME") or "/")
    runtime = environment.get("XDG_RUNTIME_DIR") or f"/run/containers/{os.getuid()}"
    yield Path(runtime, "containers", "auth.json")
    yield Path(environment.get("XDG_CONFIG_HOME") or home / ".config", "containers", "auth.json")
    yield Path(environment.get("DOCKER_CONFIG") or home / ".docker", "config.json")


def _read(file: Path, must_exist: bool) -> _AuthFile | None:
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_DOCUMENT_SIZE + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        if must_exist:
            raise SourceUnreadable(str(file), "there is no such file of credentials; check the path") from error
        return None
    except OSError as error:
        raise SourceUnreadable(str(file), f"the credentials cannot be read: {error.strerror}") from error
    try:
        return msgspec.json.decode(data, type=_AuthFile) if data.strip() else None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SourceUnreadable(str(file), f"is no file of credentials: {error}; log in again to mend it") from error


def _look_up(content: _AuthFile, file: Path, host: str, path: str) -> Credentials | None:
    server = _HUB_SERVER if host == DOCKER_HUB else host
    helper = next((name for key, name in (content.cred_helpers or {}).items() if _normalise(key) == host), None)
    # An empty name exempts a registry from the store of credentials.
    if helper:
        return _from_helper(helper, server)
    auths = content.auths or {}
    by_key: dict[str, _Entry] = {}
    for key, entry in auths.items():
        if entry is not None:
            by_key.setdefault(_normalise(key), entry)
    for key in _keys(host, path):
        known = auths.get(key) or by_key.get(key)
        if known is not None and (found := _from_entry(known, key, file)):
            return found
    return _from_helper(content.creds_store, server) if content.creds_store and helper is None else None


def _keys(host: str, path: str) -> Iterator[str]:
    """Give the keys under which credentials for a repository may stand, the most specific first."""
    parts = path.split("/")
    for count in range(len(parts), 0, -1):
        yield "/".join([host, *parts[:count]])
    yield host


def _normalise(key: str) -> str:
    """Write a key without what older versions of Docker put around the host."""
    if key.startswith(("https://", "http://")):
        key = key.partition("://")[2].partition("/")[0]
    host, slash, path = key.rstrip("/").partition("/")
    return (DOCKER_HUB if host in _HUB_HOSTS else host) + slash + path


def _from_helper(helper: str, server: str) -> Credentials | None:
    answer = ask_helper(helper, server)
    if answer is None:
        return None
    username, secret = answer
    if username == _IDENTITY_TOKEN:
        return Credentials("", identity_token=secret)
    return Credentials(username, secret)


def _from_entry(entry: _Entry, key: str, file: Path) -> Credentials | None:
    username, password = entry.username or "", entry.password or ""
    if entry.auth:
        try:
            username, colon, password = base64.b64decode(entry.auth, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError, ValueError):
            colon = ""
        if not colon:
            # Without a cause: the decoder's words could quote the secret.
            reason = f"the entry of {key} is not base64 of user:password; log in again to mend it"
            raise SourceUnreadable(str(file), reason) from None
    if entry.identitytoken:
        return Credentials(username, identity_token=entry.identitytoken)
    return Credentials(username, password.rstrip("\0")) if username else None
