"""Stores of images, this program's and podman's, known by what is in them: nobody's output goes among their files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from builder.errors import UsageError

# This program's own (store/store.py), and what there is of one from the first moment on.
_OWN = ("blobs", "manifests", "tmp", "leases", "quarantine", "lock")
_OWN_SIGNS = ("leases", "lock")
# By its drivers. Not where layers are unpacked: there `buildah mount` has files that are to be written.
_PODMANS = {driver: (f"{driver}-images", f"{driver}-layers") for driver in ("overlay", "vfs", "btrfs")}


def check_outside_stores(path: Path, place: Path) -> None:
    """Refuse an output at `path` that will really be written at `place`, among a store's files. Raises UsageError."""
    # As it is called, too: a store's blobs may be a symlink to elsewhere.
    for called in (place, Path(os.path.abspath(path))):
        for inner, directory in pairwise((called, *called.parents)):
            if _is_own(directory, inner.name) or _is_podmans(directory, inner.name):
                raise UsageError(f"{path}: is among the files of a store of images, {directory}; name another output")


def _is_own(directory: Path, name: str) -> bool:
    return name in _OWN and _has(directory, _OWN_SIGNS)


def _is_podmans(directory: Path, name: str) -> bool:
    parts = _PODMANS.get(name.partition("-")[0], ())
    return name in parts and _has(directory, parts)


def _has(directory: Path, names: Iterable[str]) -> bool:
    return all(os.path.exists(directory / name) for name in names)
