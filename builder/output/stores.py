"""Stores of images, this program's and podman's, known by what is in them: nobody's output goes among their files."""

from __future__ import annotations

import os
from pathlib import Path

from builder.errors import UsageError

# This program's own (store/store.py).
_OWN = ("blobs", "manifests", "tmp", "leases", "quarantine", "lock")
_OWN_SIGNS = ("blobs", "manifests", "lock")
# By their drivers. Not where layers are unpacked: there `buildah mount` has files that are to be written.
_PODMANS = {f"{driver}-{part}": driver for driver in ("overlay", "vfs", "btrfs") for part in ("images", "layers")}


def check_outside_stores(path: Path, place: Path) -> None:
    """Refuse an output at `path` that will really be written at `place`, among a store's files. Raises UsageError."""
    inner = place
    for directory in place.parents:
        name = inner.name
        if _is_own(directory, name) or _is_podmans(directory, name):
            raise UsageError(f"{path}: is among the files of a store of images, {directory}; name another output")
        inner = directory


def _is_own(directory: Path, name: str) -> bool:
    return name in _OWN and all(os.path.exists(directory / sign) for sign in _OWN_SIGNS)


def _is_podmans(directory: Path, name: str) -> bool:
    return name in _PODMANS and os.path.exists(directory / f"{_PODMANS[name]}-images" / "images.json")
