"""The content-addressable image store that many processes and many images share."""

from __future__ import annotations

import os

from builder.errors import StoreDenied
from builder.events import Listener, ignore
from builder.files.home import expand_home, home_directory
from builder.files.urls import is_url
from builder.store.incoming import Incoming
from builder.store.lease import Lease
from builder.store.rooms.directory import LocalRoom
from builder.store.store import Store

__all__ = ["Incoming", "Lease", "Store", "default_root", "no_default", "open_store"]

# Below the root, which may hold other things some day.
_IMAGES = "images"
_NAME_ONE = "name a place with --store"


def open_store(root: str | None = None, listen: Listener = ignore) -> Store:
    """Open the store at `root`, a path or a PyFilesystem URL, by default the user's own; it need not exist yet.

    `listen` is told where it is waited for. Raises StoreError, StoreDenied, and InvalidReference for a URL that cannot
    be opened or cannot hold a store.
    """
    root = default_root() if root is None else _expanded(root)
    if root is None:
        raise StoreDenied("the image store", f"has no place, as this user has no home directory; {_NAME_ONE}")
    if is_url(root):
        # Here, because it imports PyFilesystem.
        from builder.store.rooms.pyfilesystem import open_room

        return Store(open_room(root, _IMAGES, listen))
    return Store(LocalRoom(os.path.join(root, _IMAGES), listen=listen))


def default_root() -> str | None:
    """Say where a user's own store is (XDG Base Directory Specification, XDG_DATA_HOME); None for who has no home."""
    data = os.environ.get("XDG_DATA_HOME", "")
    if not os.path.isabs(data):
        # The specification: relative paths are to be ignored.
        home = home_directory()
        if home is None:
            return None
        data = os.path.join(home, ".local", "share")
    return os.path.join(data, "rootfs-builder")


def no_default() -> str | None:
    """Say why nothing can be kept in the user's own store, as a sentence about it; None where something can."""
    root = default_root()
    if root is None:
        return f"this user has no home directory; {_NAME_ONE}"
    place = os.path.join(root, _IMAGES)
    while not os.path.lexists(place):
        place = os.path.dirname(place)
    if os.access(place, os.W_OK | os.X_OK):
        return None
    return f"this user may not write {place}; {_NAME_ONE}"


def _expanded(root: str) -> str:
    """Put the home in place of a `~` that no shell has seen, as in a variable that a CI's settings name."""
    expanded = expand_home(root)
    if expanded is None:
        raise StoreDenied(root, f"names a home directory that there is not; {_NAME_ONE}")
    return expanded
