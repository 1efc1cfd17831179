"""storage.conf and, from podman 6 on, its drop-ins: which they are, and what they say one over the other.

As in containers/storage, pkg/configfile. Older versions know no drop-ins, and nobody writes any for those.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Annotated, Any, Self

import msgspec

from builder.containers_storage.handles import reading
from builder.errors import MissingRequirement, SourceUnreadable

# In bytes; the file that distributions install has 10 KiB.
_MAX_FILE = 1 << 20

# Beside paths there may be `{append = true}`: what other files say of the same is not replaced, but added to.
_Stores = Annotated[list[str | dict[str, bool]], msgspec.Meta(max_length=64)]


class _Overlay(msgspec.Struct):
    additionalimagestores: _Stores = []


class _Options(msgspec.Struct):
    additionalimagestores: _Stores = []
    overlay: _Overlay = msgspec.field(default_factory=_Overlay)


class _Storage(msgspec.Struct):
    driver: str = ""
    graphroot: str = ""
    imagestore: str = ""
    rootless_storage_path: str = ""
    options: _Options = msgspec.field(default_factory=_Options)

    @property
    def additional(self) -> list[str]:
        """The additional image stores, for all drivers and for overlay."""
        named = (*self.options.additionalimagestores, *self.options.overlay.additionalimagestores)
        return [each for each in named if isinstance(each, str)]


class _File(msgspec.Struct):
    storage: _Storage = msgspec.field(default_factory=_Storage)


class Conf:
    """What files say together; `origin` is the one that says where the stores are, or else the main one."""

    def __init__(self) -> None:
        """Begin with no file, which says nothing."""
        self.storage = _Storage()
        self.origin: str | None = None
        self._document: dict[str, Any] = {}

    @classmethod
    def first(cls, paths: Iterable[str]) -> Self:
        """Read the first of the files that exists."""
        conf = cls()
        for path in paths:
            with reading(path):
                try:
                    conf.read(path)
                except (FileNotFoundError, NotADirectoryError):
                    continue
            conf.origin = path
            break
        return conf

    def add(self, path: str) -> None:
        """Read a file over the others; raises SourceUnreadable, also where it is not there."""
        with reading(path):
            self.read(path)

    def read(self, path: str) -> None:
        """Read a file over the others. Raises OSError, MissingRequirement, SourceUnreadable."""
        try:
            with open(path, "rb") as file:
                data = file.read(_MAX_FILE + 1)
        except PermissionError as error:
            todo = "let this user read it, or name the store: [overlay@ROOT]NAME"
            raise MissingRequirement(f"{path}: {error.strerror}; {todo}") from error
        if len(data) > _MAX_FILE:
            raise SourceUnreadable(path, f"is no storage.conf: it is longer than {_MAX_FILE} bytes")
        self.parse(data, path)

    def parse(self, data: bytes, name: str) -> None:
        """Take a file's content; `name` says in errors which one. Raises SourceUnreadable."""
        before = self.storage
        try:
            self._document = _over(self._document, tomllib.loads(data.decode()))
            self.storage = msgspec.convert(self._document, _File).storage
        except (ValueError, msgspec.ValidationError, RecursionError) as error:
            # A ValueError is what is no UTF-8, no TOML, or a number too long for Python.
            raise SourceUnreadable(name, f"is no storage.conf: {error}") from error
        if (self.storage.graphroot, self.storage.imagestore) != (before.graphroot, before.imagestore):
            self.origin = name


def drop_ins(system: Iterable[str], own: str, uid: int) -> list[str]:
    """List the drop-ins of a user, in the order in which they are read.

    `system` are the main files of the machine, those that count most first, and `own` is the user's. Of drop-ins of one
    name only the last one's counts: the user's, before the administrator's and the distribution's.
    """
    directories: list[str] = []
    for main in reversed(list(system)):
        stem = main.removesuffix(".conf")
        directories += [f"{main}.d", f"{stem}.rootless.conf.d" if uid else f"{stem}.rootful.conf.d"]
        directories += [f"{directories[-1]}/{uid}"] if uid else []
    found: dict[str, str] = {}
    for directory in [*directories, *([f"{own}.d"] if own else [])]:
        found |= {os.path.basename(path): path for path in _files(directory)}
    return [found[name] for name in sorted(found)]


def _files(directory: str) -> Iterator[str]:
    """Name the drop-ins in a directory: regular files alone, and no symlink, as to podman."""
    # What this user may not look into, as another user's home that sudo has left, is not there.
    with suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.endswith(".conf") and entry.is_file(follow_symlinks=False):
                yield entry.path


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Put what a file says over what others say: tables one into the other, lists as their marks have it."""
    merged = dict(below)
    for name, new in above.items():
        old = merged.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            merged[name] = _over(old, new)
        elif isinstance(old, list) and isinstance(new, list):
            marks = [each["append"] for each in (*old, *new) if isinstance(each, dict) and "append" in each]
            merged[name] = [*old, *new] if marks and marks[-1] is True else new
        else:
            merged[name] = new
    return merged
