"""Where the user's images are: storage.conf (containers-storage.conf(5)) and the defaults where it is silent.

Which files count, and which environment variables, is as in containers/storage, types/options.go.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from functools import partial
from typing import Annotated

import msgspec

from builder.containers_storage.handles import reading
from builder.containers_storage.place import Place, known_driver, stores_of
from builder.errors import SourceUnreadable
from builder.files.home import home_directory

SYSTEM_FILES = ("/etc/containers/storage.conf", "/usr/share/containers/storage.conf")
SYSTEM_ROOT = "/var/lib/containers/storage"
# In bytes; the file that distributions install has 10 KiB.
_MAX_FILE = 1 << 20

_Stores = Annotated[list[str], msgspec.Meta(max_length=64)]


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


class _File(msgspec.Struct):
    storage: _Storage = msgspec.field(default_factory=_Storage)


def find_place(environment: Mapping[str, str], uid: int, system: tuple[str, ...] = SYSTEM_FILES) -> Place:
    """Find the stores of the user with `uid` (the effective one).

    Inside `podman unshare` that is root's, and a variable says whose namespace it is. Raises SourceUnreadable.
    """
    rootless = environment.get("_CONTAINERS_ROOTLESS_UID", "").strip()
    # Podman sets a number; whoever set anything else did not mean a user.
    uid = int(rootless) if re.fullmatch(r"[0-9]{1,10}", rootless) else uid
    explicit = environment.get("CONTAINERS_STORAGE_CONF")
    configured = _configured(environment, "")
    candidates = [explicit] if explicit else [*([configured] if configured else []), *system]
    name, storage = _first(candidates)
    if uid == 0:
        return _place(storage, name, SYSTEM_ROOT, environment, uid)
    default = storage.rootless_storage_path or _data_home(environment)
    if not explicit:
        name, storage = _first([_configured(environment, ".config")])
    root = storage.rootless_storage_path if name else ""
    return _place(storage, name, root or default, environment, uid)


def _place(storage: _Storage, name: str | None, default: str, environment: Mapping[str, str], uid: int) -> Place:
    options = environment.get("STORAGE_OPTS")
    if options is not None:
        additional = stores_of(options.split(","))
    else:
        additional = (*storage.options.additionalimagestores, *storage.options.overlay.additionalimagestores)
    expand = partial(_expand, environment=environment, uid=uid)
    roots = [expand(storage.imagestore), expand(storage.graphroot) or expand(default), *map(expand, additional)]
    root, *others = dict.fromkeys(filter(None, roots))
    if any("\0" in path for path in (root, *others)):
        raise SourceUnreadable(name or "STORAGE_OPTS", "is no storage.conf: it names a store with a NUL character")
    driver = environment.get("STORAGE_DRIVER") or storage.driver
    return Place(root, tuple(others), known_driver(driver), name or "the default")


def _first(candidates: list[str]) -> tuple[str | None, _Storage]:
    """Read the first of the files that exists."""
    for path in candidates:
        with reading(path):
            try:
                with open(path, "rb") as file:
                    data = file.read(_MAX_FILE + 1)
            except (FileNotFoundError, NotADirectoryError):
                continue
        if len(data) > _MAX_FILE:
            raise SourceUnreadable(path, f"is no storage.conf: it is longer than {_MAX_FILE} bytes")
        return path, parse_conf(data, path)
    return None, _Storage()


def parse_conf(data: bytes, name: str) -> _Storage:
    """Read a storage.conf; `name` says in errors which one. Raises SourceUnreadable."""
    try:
        return msgspec.convert(tomllib.loads(data.decode()), _File).storage
    except (ValueError, msgspec.ValidationError, RecursionError) as error:
        # A ValueError is what is no UTF-8, no TOML, or a number too long for Python.
        raise SourceUnreadable(name, f"is no storage.conf: {error}") from error


def _configured(environment: Mapping[str, str], below_home: str) -> str:
    home = environment.get("XDG_CONFIG_HOME")
    if not home and below_home:
        home = os.path.join(_home(environment), below_home)
    return os.path.join(home, "containers", "storage.conf") if home else ""


def _data_home(environment: Mapping[str, str]) -> str:
    home = environment.get("XDG_DATA_HOME") or os.path.join(_home(environment), ".local", "share")
    return os.path.join(home, "containers", "storage")


def _home(environment: Mapping[str, str]) -> str:
    return str(home_directory(environment) or "/")


def _expand(path: str, environment: Mapping[str, str], uid: int) -> str:
    """Replace $UID, and $NAME and ${NAME} of the environment, as Go's os.ExpandEnv does: what is unset is empty."""
    path = path.replace("$UID", str(uid))
    path = re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda m: environment.get(m[1] or m[2], ""), path)
    return os.path.normpath(path) if path else ""
