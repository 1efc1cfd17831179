"""Where the user's images are: storage.conf (containers-storage.conf(5)) and the defaults where it is silent.

Which files count, and which environment variables, is as in containers/storage, types/options.go.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import partial

from builder.containers_storage.conf_files import Conf, drop_ins
from builder.containers_storage.place import Place, known_driver, stores_of
from builder.errors import SourceUnreadable
from builder.files.home import home_directory

SYSTEM_FILES = ("/etc/containers/storage.conf", "/usr/share/containers/storage.conf")
SYSTEM_ROOT = "/var/lib/containers/storage"


def find_place(environment: Mapping[str, str], uid: int, system: tuple[str, ...] = SYSTEM_FILES) -> Place:
    """Find the stores of the user with `uid` (the effective one).

    Inside `podman unshare` that is root's, and a variable says whose namespace it is. Raises SourceUnreadable.
    """
    rootless = environment.get("_CONTAINERS_ROOTLESS_UID", "").strip()
    # Podman sets a number; whoever set anything else did not mean a user.
    uid = int(rootless) if re.fullmatch(r"[0-9]{1,10}", rootless) else uid
    explicit = environment.get("CONTAINERS_STORAGE_CONF")
    configured = _configured(environment, "")
    conf = Conf.first([explicit] if explicit else [*([configured] if configured else []), *system])
    default = SYSTEM_ROOT
    if uid:
        # Of the system's file only this concerns an ordinary user; of drop-ins, which know rootless users, all does.
        default = conf.storage.rootless_storage_path or _data_home(environment)
        conf = conf if explicit else Conf.first([_configured(environment, ".config")])
    if not explicit:
        for path in drop_ins(system, _configured(environment, ".config"), uid):
            conf.add(path)
    if override := environment.get("CONTAINERS_STORAGE_CONF_OVERRIDE"):
        conf.add(override)
    if uid:
        default = conf.storage.rootless_storage_path or default
    return _place(conf, default, environment, uid)


def _place(conf: Conf, default: str, environment: Mapping[str, str], uid: int) -> Place:
    options = environment.get("STORAGE_OPTS")
    additional = conf.storage.additional if options is None else stores_of(options.split(","))
    expand = partial(_expand, environment=environment, uid=uid)
    storage = conf.storage
    roots = [expand(storage.imagestore), expand(storage.graphroot) or expand(default), *map(expand, additional)]
    root, *others = dict.fromkeys(filter(None, roots))
    if any("\0" in path for path in (root, *others)):
        raise SourceUnreadable(
            conf.origin or "STORAGE_OPTS", "is no storage.conf: it names a store with a NUL character"
        )
    driver = environment.get("STORAGE_DRIVER") or storage.driver
    return Place(root, tuple(others), known_driver(driver), conf.origin or "the default")


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
