"""Leases: what keeps blobs that a build or a pull needs from being collected meanwhile.

A lease is a file of descriptors, one a line, that its process keeps locked. Once nobody locks it, it counts for
nothing: whoever takes the next lease removes it, as does a collection.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from threading import Lock
from types import TracebackType
from typing import Self

from builder.errors import InvalidDigest, StoreDenied, StoreError
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.store.room import Held, Room

LEASES = "leases"
# What `Room.create` makes of it; anything else there is somebody's mistake, and not ours to remove.
OURS = re.compile(r"lease\.[0-9a-f]{16}")


class Lease:
    """What this process needs, until it is closed; threads may share one."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._held: Held | None = None
        self._added: set[tuple[Digest, str]] = set()
        self._lock = Lock()

    def add(self, *descriptors: Descriptor) -> None:
        """Keep these blobs, there or not, and all that is reached from those that are documents.

        A blob that is there afterwards stays there: a collection either came before, and then it is gone now, or will
        see this lease. Raises StoreError, StoreDenied.
        """
        with self._lock:
            # By media type, too: what was added as a layer may turn out to be a document.
            wanted = {(each.digest, each.media_type): each for each in descriptors}
            wanted = {key: each for key, each in wanted.items() if key not in self._added}
            if not wanted:
                return
            lines = "".join(f"{each.digest} {each.media_type}\n" for each in map(_on_one_line, wanted.values()))
            with self._room.lock(exclusive=False):
                if self._held is None:
                    self._held = self._room.create(LEASES, "lease")
                    self._sweep()
                self._held.append(lines.encode())
            self._added |= wanted.keys()

    def close(self) -> None:
        """Give everything back."""
        with self._lock:
            if self._held is not None:
                # One that stays counts for nothing once it is let go: no reason for a finished build to fail.
                with suppress(StoreError, StoreDenied):
                    self._room.remove(self._held.path)
                self._held.close()
                self._held = None
            self._added.clear()

    def _sweep(self) -> None:
        """Remove the leases of processes that are gone; one that is being made is locked, or made again elsewhere."""
        for name in filter(OURS.fullmatch, self._room.names(LEASES)):
            # What is another user's, and is to stay that, is only litter.
            with suppress(StoreError, StoreDenied):
                self._room.discard(f"{LEASES}/{name}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def parse_lease(data: bytes) -> Iterable[tuple[Digest, str]]:
    """Read the digests that a lease keeps, each with its media type. A line that was cut off was never promised."""
    for line in data.decode(errors="replace").splitlines():
        digest, _, media_type = line.partition(" ")
        try:
            yield Digest.parse(digest), media_type
        except InvalidDigest:
            continue


def _on_one_line(descriptor: Descriptor) -> Descriptor:
    # Media types are the image's words; what breaks the line is no document's.
    if descriptor.media_type.isprintable():
        return descriptor
    return Descriptor("", descriptor.digest, descriptor.size)
