"""Garbage collection: remove what no reference and no running process needs.

It is safe beside all that others do (store.py says why), and may itself be killed at any moment: whatever it removed
was garbage, whatever it did not remove is garbage still.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from builder.errors import InvalidDigest, StoreCorrupt, StoreDenied
from builder.image.digest import Digest
from builder.store.lease import LEASES, OURS, parse_lease
from builder.store.reach import Reach
from builder.store.store import BLOBS, TEMPORARY, Store, blob_path

# What `Room.create` makes; anything else there is somebody's mistake, and not ours to remove.
_OURS = re.compile(r"(reference|sha256-[0-9a-f]{64}|sha512-[0-9a-f]{128})\.[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Collected:
    """What was removed, or would be: how many blobs, temporaries and leases, and the bytes of the first two."""

    blobs: int
    temporaries: int
    leases: int
    size: int


def collect(store: Store, dry_run: bool = False) -> Collected:
    """Remove blobs that nothing needs, temporaries that nobody writes and leases of processes that are gone.

    A temporary that an interrupted pull left goes too, unless a running process needs its blob. Others wait
    meanwhile, for as long as it takes to read the documents and to remove files. Raises StoreCorrupt, with no blob
    removed, when a document does not say what it needs; StoreError, StoreDenied.
    """
    if not store.room.names(""):
        return Collected(0, 0, 0, 0)
    with store.room.lock(exclusive=True):
        roots, dead = _leases(store, dry_run)
        reach = Reach(store)
        needed = reach.of(roots)
        temporaries, size = _temporaries(store, needed, dry_run)
        needed |= reach.of((descriptor.digest, descriptor.media_type) for _, descriptor in store.references())
        for digest, reason in reach.corrupt.items():
            raise StoreCorrupt(f"{store.place}/{blob_path(digest)}", f"{reason}, so it cannot be told what it needs")
        blobs = 0
        for digest in blobs_of(store):
            if digest not in needed:
                path = blob_path(digest)
                stamp = store.room.stamp(path)
                if not dry_run:
                    store.room.remove(path)
                blobs += 1
                size += stamp[0] if stamp else 0
    return Collected(blobs, temporaries, dead, size)


def blobs_of(store: Store) -> Iterator[Digest]:
    """Yield the digest of every blob; what is in a blob's place and has no blob's name is not ours to judge."""
    for algorithm in store.room.names(BLOBS):
        for hexadecimal in store.room.names(f"{BLOBS}/{algorithm}"):
            try:
                yield Digest(algorithm, hexadecimal)
            except InvalidDigest:
                continue


def _leases(store: Store, dry_run: bool) -> tuple[list[tuple[Digest, str]], int]:
    """Give what living processes need, and count the leases of dead ones."""
    roots: list[tuple[Digest, str]] = []
    dead = 0
    for name in filter(OURS.fullmatch, store.room.names(LEASES)):
        path = f"{LEASES}/{name}"
        if _abandoned(store, path, dry_run):
            dead += 1
        elif (file := store.room.open(path)) is not None:
            with file:
                roots += parse_lease(file.read())
    return roots, dead


def _temporaries(store: Store, needed: set[Digest], dry_run: bool) -> tuple[int, int]:
    """Remove temporaries that nobody writes; return how many, and their bytes."""
    count = size = 0
    stems = {f"{digest.algorithm}-{digest.hex}" for digest in needed}
    for name in filter(_OURS.fullmatch, store.room.names(TEMPORARY)):
        path = f"{TEMPORARY}/{name}"
        stamp = store.room.stamp(path)
        if stamp is not None and name.partition(".")[0] not in stems and _abandoned(store, path, dry_run):
            count += 1
            size += stamp[0]
    return count, size


def _abandoned(store: Store, path: str, dry_run: bool) -> bool:
    """Remove a file that nobody holds, and say whether it was one."""
    if not dry_run:
        return store.room.discard(path)
    try:
        held = store.room.take_over(path)
    except StoreDenied:
        return False  # another user's
    if held is not None:
        held.close()
    return held is not None
