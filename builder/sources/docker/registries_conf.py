"""What this machine's registries.conf says of a name (containers-registries.conf(5), version 2)."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from builder.errors import InvalidReference, SourceUnreadable
from builder.files.home import config_directories
from builder.image.name import ImageName
from builder.words import quoted

# What the administrator says of this machine, and, from podman 6 on, what its distribution does.
_SYSTEM, _VENDOR = Path("/etc/containers"), Path("/usr/share/containers")
_MAX_SIZE = 1 << 20


@dataclass(frozen=True, slots=True)
class Location:
    """Where a repository may be asked for: `insecure` allows plain HTTP, `mirror` says that others come after."""

    host: str
    path: str
    insecure: bool = False
    mirror: bool = False


class _Mirror(msgspec.Struct, rename="kebab"):
    location: str
    insecure: bool = False
    pull_from_mirror: str = "all"

    def __post_init__(self) -> None:
        self.location = _location(self.location)


class _Registry(msgspec.Struct, rename="kebab"):
    prefix: str = ""
    location: str = ""
    insecure: bool = False
    blocked: bool = False
    mirror_by_digest_only: bool = False
    mirror: list[_Mirror] = []

    def __post_init__(self) -> None:
        self.prefix, self.location = _location(self.prefix), _location(self.location)

    @property
    def scope(self) -> str:
        return self.prefix or self.location


class _Version1(msgspec.Struct):
    registries: list[str] = []


class RegistriesConf(msgspec.Struct, rename="kebab"):
    """The parts of the file, or of all files together, that concern a pull by name."""

    unqualified_search_registries: list[str] | None = None
    credential_helpers: list[str] | None = None
    registry: list[_Registry] = []
    aliases: dict[str, str] = {}
    registries: dict[str, _Version1] = {}

    def __post_init__(self) -> None:
        for name, old in self.registries.items():
            # Such as [registries.block], which podman still heeds.
            if old.registries:
                now = "unqualified-search-registries" if name == "search" else "[[registry]]"
                raise ValueError(f"it has [registries.{name}] of version 1; write {now} instead")
        if self.unqualified_search_registries is not None:
            self.unqualified_search_registries = list(map(_location, self.unqualified_search_registries))


def read_registries_conf() -> RegistriesConf:
    """Read $CONTAINERS_REGISTRIES_CONF alone, or the user's file or else the system's, and the drop-ins of all.

    A file that is not there says nothing; raises SourceUnreadable for one that cannot be read.
    """
    conf = RegistriesConf()
    by_scope: dict[str, _Registry] = {}
    for file in _files():
        part = _read(file)
        if part.unqualified_search_registries is not None:
            conf.unqualified_search_registries = part.unqualified_search_registries
        if part.credential_helpers is not None:
            conf.credential_helpers = part.credential_helpers
        by_scope |= {each.scope: each for each in part.registry}
        conf.aliases |= part.aliases
    conf.registry = list(by_scope.values())
    return conf


def qualify(name: ImageName, conf: RegistriesConf, text: str) -> ImageName:
    """Write a name in full, as Docker does: a short name is Docker Hub's.

    Where this machine's registries.conf reads a short name in another way, as podman would, it is ambiguous, and
    refused: which image a build gets must not depend on who reads its name. `text` is the reference as it was typed.
    """
    full = name.qualified()
    if name.domain is not None:
        return full
    alias = conf.aliases.get(name.path)
    others = [alias] if alias else [f"{host}/{name.path}" for host in conf.unqualified_search_registries or ()]
    readings = dict.fromkeys([full.repository, *map(_in_full, others)])
    if len(readings) > 1:
        listed = ", ".join(f"docker://{reading}" for reading in list(readings)[:5])
        reason = f"the short name is ambiguous on this machine (registries.conf); write one of {listed}"
        raise InvalidReference(text, reason)
    return full


def locations(name: ImageName, conf: RegistriesConf) -> list[Location]:
    """Say where to ask for a name that is written in full, mirrors first; raises SourceUnreadable if it is blocked."""
    assert name.domain is not None
    rule = max(
        (each for each in conf.registry if _covers(each.scope, name)), key=lambda each: len(each.scope), default=None
    )
    if rule is None:
        return [Location(name.domain, name.path)]
    if rule.blocked:
        raise SourceUnreadable(name.repository, f"registries.conf of this machine blocks {quoted(rule.scope)}")
    found = []
    for mirror in rule.mirror:
        wanted = "digest-only" if rule.mirror_by_digest_only else mirror.pull_from_mirror
        if wanted == "all" or (wanted == "digest-only") == (name.digest is not None):
            found.append(_relocate(name, rule, mirror.location, mirror.insecure, mirror=True))
    return [*found, _relocate(name, rule, rule.location, rule.insecure, mirror=False)]


def _files() -> Iterator[Path]:
    if named := os.environ.get("CONTAINERS_REGISTRIES_CONF"):
        yield Path(named)
        return
    users = [config / "containers" for config in config_directories()]
    # As podman: what this user cannot get at, as another user's home that sudo has left, is not there.
    places = (*users, _SYSTEM, _VENDOR)
    mains = (file for place in places if os.path.exists(file := place / "registries.conf"))
    yield next(mains, _SYSTEM / "registries.conf")
    own = [file for place in (_SYSTEM, *users) for file in _drop_ins(place)]
    # As podman 6: one of the distribution's is put out of force by another of its name.
    names = {file.name for file in own}
    yield from (file for file in _drop_ins(_VENDOR) if file.name not in names)
    yield from own


def _drop_ins(place: Path) -> list[Path]:
    directory = place / "registries.conf.d"
    return sorted(directory.glob("*.conf")) if os.path.isdir(directory) else []


def _read(file: Path) -> RegistriesConf:
    try:
        with file.open("rb") as stream:
            data = stream.read(_MAX_SIZE)
        return msgspec.convert(tomllib.loads(data.decode()), RegistriesConf)
    except (FileNotFoundError, NotADirectoryError):
        return RegistriesConf()
    except OSError as error:
        raise SourceUnreadable(str(file), f"cannot be read: {error.strerror}") from error
    except (ValueError, msgspec.ValidationError, RecursionError) as error:
        raise SourceUnreadable(str(file), f"is no registries.conf of version 2: {error}") from error


def _location(text: str) -> str:
    """Read a registry, or what is in one, as podman does. Raises ValueError."""
    if text.startswith(("https://", "http://")):
        raise ValueError(f"{quoted(text)} has a scheme; write HOST[:PORT][/PATH]")
    return text.rstrip("/")


def _in_full(name: str) -> str:
    try:
        return ImageName.parse(name).qualified().repository
    except InvalidReference:
        return name


def _covers(scope: str, name: ImageName) -> bool:
    if scope.startswith("*."):
        return (name.domain or "").partition(":")[0].endswith(scope[1:])
    # A rule may be for one tag or digest alone; without either the tag is `latest`.
    exact = name if name.tag or name.digest else replace(name, tag="latest")
    forms = (name.repository, str(replace(exact, tag=None)), str(replace(exact, digest=None)))
    return scope in forms or name.repository.startswith(f"{scope}/")


def _relocate(name: ImageName, rule: _Registry, location: str, insecure: bool, *, mirror: bool) -> Location:
    """Put `location` in place of the part of a name that the rule covers; nothing to put in leaves the name."""
    covered = (name.domain or "") if rule.scope.startswith("*.") else rule.scope
    host, _, path = ((location + name.repository[len(covered) :]) if location else name.repository).partition("/")
    reason = f"registries.conf has {quoted(location)} for it, which is no registry"
    try:
        # As everything else that is configured, but this becomes part of a URL.
        relocated = ImageName.parse(f"{host}/{path}")
    except InvalidReference as error:
        raise SourceUnreadable(name.repository, reason) from error
    same = relocated.tag in (None, name.tag or "latest") and relocated.digest in (None, name.digest)
    if relocated.domain is None or not same:
        raise SourceUnreadable(name.repository, reason)
    return Location(relocated.domain, relocated.path, insecure, mirror)
