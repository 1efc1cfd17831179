"""The content-addressable image store that many processes and many images share."""

from __future__ import annotations

import os

from builder.files.urls import is_url
from builder.store.incoming import Incoming
from builder.store.lease import Lease
from builder.store.rooms.directory import LocalRoom
from builder.store.store import Store

__all__ = ["Incoming", "Lease", "Store", "default_root", "open_store"]

# Below the root, which may hold other things some day.
_IMAGES = "images"


def open_store(root: str | None = None) -> Store:
    """Open the store at `root`, a path or a PyFilesystem URL, by default the user's own; it need not exist yet.

    Raises StoreError, StoreDenied, InvalidReference for a URL that cannot be opened or cannot hold a store.
    """
    root = root or default_root()
    if is_url(root):
        # Here, because it imports PyFilesystem.
        from builder.store.rooms.pyfilesystem import open_room

        return Store(open_room(root, _IMAGES))
    return Store(LocalRoom(os.path.join(root, _IMAGES)))


def default_root() -> str:
    """Say where a user's own store is (XDG Base Directory Specification, XDG_DATA_HOME)."""
    data = os.environ.get("XDG_DATA_HOME", "")
    if not os.path.isabs(data):
        # The specification: relative paths are to be ignored.
        data = os.path.expanduser("~/.local/share")
    return os.path.join(data, "rootfs-builder")
