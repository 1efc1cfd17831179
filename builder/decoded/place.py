"""Where decoded layers are, and that nobody else can have put them there."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from builder.decoded.options import CACHE_VARIABLE
from builder.files.below import LISTED
from builder.files.home import expand_home, home_directory

# Beside what else is in the user's cache of this program.
_LAYERS = "layers"


class Unusable(Exception):
    """Nothing can be kept there; `reason` is a sentence about the place."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def default_place() -> Path | None:
    """Say where a user's cache is (XDG Base Directory Specification, XDG_CACHE_HOME); None for who has no home.

    The option's variable, set to nothing, asks for no cache.
    """
    if os.environ.get(CACHE_VARIABLE) == "":
        return None
    named = os.environ.get("XDG_CACHE_HOME", "")
    # The specification: relative paths are to be ignored.
    if os.path.isabs(named):
        return Path(named, "rootfs-builder")
    home = home_directory()
    # A home that is not there is not ours to make; containers run under users without one.
    return home / ".cache" / "rootfs-builder" if home is not None and os.path.isdir(home) else None


def layers_of(place: Path) -> Path:
    """Say where below a cache decoded layers are; a `~` that no shell has seen is a home. Raises Unusable."""
    expanded = expand_home(str(place))
    if expanded is None:
        raise Unusable("names a home directory that there is not")
    return Path(expanded, _LAYERS)


def open_layers(place: Path, *, make: bool) -> int | None:
    """Open the directory of decoded layers below the cache `place`, made if need be; None if it is not to be made.

    Raises Unusable where other users may write it: what is in it is believed. Raises OSError.
    """
    path = layers_of(place)
    if make:
        with suppress(FileExistsError):
            os.makedirs(path.parent, 0o700)
        with suppress(FileExistsError):
            os.mkdir(path, 0o700)
    try:
        fd = os.open(path, LISTED | os.O_NOFOLLOW)
    except FileNotFoundError:
        if make:
            raise
        return None
    status = os.fstat(fd)
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        os.close(fd)
        raise Unusable("belongs to another user, or others may write it")
    return fd
