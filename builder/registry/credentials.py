"""Credentials for registries, where podman, skopeo and Docker keep them (containers-auth.json(5)).

What cannot be used is said, and the request goes on without: most images want none, and what the registry then says
is the better error. Only a file that the user named must be there and be one.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from builder.denied import denial
from builder.errors import SourceUnreadable
from builder.events import Listener, Notice, ignore
from builder.files.home import home_directory
from builder.image.document import MAX_DOCUMENT_SIZE
from builder.image.name import DOCKER_HUB
from builder.registry.helper import HelperFailed, ask_helper

# Docker's own key for its Hub, from the days of the first version of the protocol; podman uses the host.
_HUB_SERVERS = ("https://index.docker.io/v1/", DOCKER_HUB)
_HUB_HOSTS = frozenset({DOCKER_HUB, "index.docker.io", "registry-1.docker.io"})
# Docker's file before version 1.7: all of it is what `auths` holds in the others.
_OLD_DOCKER = ".dockercfg"
# A variable of the environment with what else is in such a file, as CI systems set it, and Docker heeds it.
_VARIABLE = "DOCKER_AUTH_CONFIG"
_IN_VARIABLE = Path(f"${_VARIABLE}")
# What stands among the helpers of registries.conf for the files (containers-registries.conf(5), "credential-helpers").
_FILES = "containers-auth.json"
# A helper's user name for a secret that is an identity token.
_IDENTITY_TOKEN = "<token>"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and password, or an identity token, for which the token server hands out access tokens.

    Bytes that are no UTF-8 are surrogates, as in file names.
    """

    username: str
    password: str = field(default="", repr=False)
    identity_token: str | None = field(default=None, repr=False)


class _Entry(msgspec.Struct):
    auth: str | None = None
    username: str | None = None
    password: str | None = None
    identitytoken: str | None = None


class _AuthFile(msgspec.Struct):
    # Entries as they are: one that is odd is no reason to leave out the others.
    auths: dict[str, Any] | None = None
    credhelpers: dict[str, str] | None = None
    credsstore: str | None = None


class _Unusable(Exception):
    """Credentials that are there and cannot be used; its text says why, without quoting them."""


def find_credentials(
    authfile: Path | None, host: str, path: str, listen: Listener = ignore, helpers: Sequence[str] = ()
) -> Credentials | None:
    """Find the credentials for the repository `path` at `host`; None where there are none.

    The first file that has some counts: `authfile` or else $REGISTRY_AUTH_FILE alone where one is given, then podman's,
    what $DOCKER_AUTH_CONFIG holds, and Docker's own. Where none is given and there are `helpers`, those are asked in
    their order, and the files where they come. `listen` is told what is no use. Raises SourceUnreadable, or
    MissingRequirement, for a file that was given.
    """
    given = _given(authfile)
    # Docker Hub may be called as its server is.
    host = _normalise(host)
    if given:
        return _in_files([given], True, host, path, listen)
    for helper in helpers or (_FILES,):
        if helper == _FILES:
            found = _in_files(auth_files(os.environ), False, host, path, listen)
        else:
            found = _from_helper(helper, host, listen)
        if found is not None:
            return found
    return None


def _in_files(files: Iterable[Path], given: bool, host: str, path: str, listen: Listener) -> Credentials | None:
    for file in files:
        try:
            content = _read(file)
        except _Unusable as error:
            if given:
                if denied := denial(error.__cause__, file):
                    raise denied from error
                raise SourceUnreadable(str(file), f"{error}; check the path, or log in again") from error
            listen(Notice(f"{file}: {error}; going on without it"))
            continue
        if content is None:
            if given:
                raise SourceUnreadable(str(file), "there is no such file of credentials; check the path")
            continue
        if (found := _look_up(content, file, host, path, listen)) is not None:
            return found
    return None


def asks_helpers(authfile: Path | None, helpers: Sequence[str]) -> bool:
    """Tell whether a program might be asked for credentials; the arguments are those of `find_credentials`."""
    given = _given(authfile)
    if not given and any(helper != _FILES for helper in helpers):
        return True
    for file in (given,) if given else auth_files(os.environ):
        with suppress(_Unusable):
            content = _read(file)
            if content is not None and (content.credhelpers or content.credsstore):
                return True
    return False


def starts_and_writes_nothing(authfile: Path | None, helpers: Sequence[str]) -> bool:
    """Tell whether who speaks to a registry needs no more than the network, and files to read."""
    # What is written of a TLS connection, for who looks into it, goes where the user says.
    return not asks_helpers(authfile, helpers) and "SSLKEYLOGFILE" not in os.environ


def auth_files(environment: Mapping[str, str]) -> Iterator[Path]:
    """Name what may hold credentials, in the order in which podman looks into its files, and Docker into its own."""
    home = home_directory(environment)
    runtime = environment.get("XDG_RUNTIME_DIR") or f"/run/containers/{os.getuid()}"
    config = environment.get("XDG_CONFIG_HOME") or (home and home / ".config")
    docker = environment.get("DOCKER_CONFIG") or (home and home / ".docker")
    yield Path(runtime, "containers", "auth.json")
    if config:
        yield Path(config, "containers", "auth.json")
    if environment.get(_VARIABLE):
        yield _IN_VARIABLE
    if docker:
        yield Path(docker, "config.json")
    if home:
        yield home / _OLD_DOCKER


def _given(authfile: Path | None) -> Path | None:
    """Name the one file that is asked for, by the user or by the environment; None where none is."""
    named = os.environ.get("REGISTRY_AUTH_FILE")
    return authfile or (Path(named) if named else None)


def _read(file: Path) -> _AuthFile | None:
    """Read a file, None where there is none; keys are in any letter case, as for Go."""
    try:
        if file is _IN_VARIABLE:
            data = os.fsencode(os.environ[_VARIABLE])
        else:
            with file.open("rb") as stream:
                data = stream.read(MAX_DOCUMENT_SIZE + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _Unusable(f"the credentials cannot be read: {error.strerror}") from error
    try:
        content: object = msgspec.json.decode(data.strip() or b"{}")
        read: _AuthFile = _convert({"auths": content} if file.name == _OLD_DOCKER else content, _AuthFile)
        return read
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        # Without the decoder's words, which could quote a secret.
        raise _Unusable("is no file of credentials") from None


def _convert(value: object, kind: type[Any]) -> Any:
    if isinstance(value, dict):
        value = {str(key).lower(): each for key, each in value.items()}
    return msgspec.convert(value, kind)


def _look_up(content: _AuthFile, file: Path, host: str, path: str, listen: Listener) -> Credentials | None:
    helper = next((name for key, name in (content.credhelpers or {}).items() if _normalise(key) == host), None)
    if helper and (found := _from_helper(helper, host, listen)):
        return found
    auths = {key: entry for key, entry in (content.auths or {}).items() if entry is not None}
    by_key: dict[str, object] = {}
    for key, entry in auths.items():
        by_key.setdefault(_normalise(key), entry)
    for key in _keys(host, path):
        known = auths.get(key) or by_key.get(key)
        if known is None:
            continue
        try:
            if (found := _from_entry(known)) is not None:
                return found
        except _Unusable as error:
            listen(Notice(f"{file}: the entry of {key} {error}; log in again to mend it; going on without it"))
    # An empty name exempts a registry from the store of credentials.
    return _from_helper(content.credsstore, host, listen) if content.credsstore and helper is None else None


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


def _from_helper(helper: str, host: str, listen: Listener) -> Credentials | None:
    failures = []
    for server in _HUB_SERVERS if host == DOCKER_HUB else (host,):
        try:
            username, secret = ask_helper(helper, server)
        except HelperFailed as error:
            failures.append(str(error))
        else:
            found = username == _IDENTITY_TOKEN
            return Credentials("", identity_token=secret) if found else Credentials(username, secret)
    listen(Notice(f"{failures[0]}; going on without it"))
    return None


def _from_entry(value: object) -> Credentials | None:
    try:
        entry = _convert(value, _Entry)
    except msgspec.ValidationError:
        raise _Unusable("is no entry of credentials") from None
    username, password = entry.username or "", entry.password or ""
    if entry.auth:
        username, password = _from_auth(entry.auth)
    if entry.identitytoken:
        return Credentials(username, identity_token=entry.identitytoken)
    return Credentials(username, password) if username else None


def _from_auth(auth: str) -> tuple[str, str]:
    """Read base64 of user:password as Go does: line breaks count for nothing, and any bytes may be in it."""
    encoded = auth.replace("\r", "").replace("\n", "")
    try:
        # Some leave out the padding, and some readers, such as crane and kubelet, do without.
        decoded = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    username, colon, password = decoded.decode(errors="surrogateescape").partition(":")
    if not colon or not username:
        raise _Unusable("is not base64 of user:password")
    return username, password.strip("\0")
