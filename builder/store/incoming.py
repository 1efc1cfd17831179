"""A blob on its way into the store: hashed as it passes, and under its name only when it is what it should be."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from builder.errors import DigestMismatch, SizeMismatch, StoreError
from builder.image.descriptor import Descriptor
from builder.image.verifier import Verifier
from builder.store.room import Held, Room

_READ_SIZE = 1 << 20


class Incoming:
    """One transfer of a blob, into a temporary that only this transfer writes.

    `there` is how many bytes an interrupted transfer left in it; they count only once `already` has read them back.
    """

    def __init__(self, room: Room, held: Held, descriptor: Descriptor, path: str) -> None:
        """Take over `held`; `path` is where the blob belongs."""
        self._room = room
        self._held = held
        self._descriptor = descriptor
        self._path = path
        self._verifier = self._begin()
        if held.size > descriptor.size:
            held.truncate(0)
        self.there = held.size

    def already(self) -> Iterator[bytes]:
        """Read back what is there, hashing it; go on with `write` after it."""
        while (position := self._verifier.count) < self.there:
            chunk = self._held.read(position, min(_READ_SIZE, self.there - position))
            if not chunk:
                # Somebody cut the file meanwhile; the digest will tell.
                self.there = position
                return
            self._verifier.update(chunk)
            yield chunk

    def restart(self) -> None:
        """Forget what is there, and begin at the first byte."""
        self._held.truncate(0)
        self._verifier = self._begin()
        self.there = 0

    def write(self, chunk: bytes) -> None:
        """Take the bytes that come next; raises SizeMismatch as soon as there are too many, and StoreError."""
        for _ in self.already():
            pass
        with self._discarding():
            self._verifier.update(chunk)
        self._held.append(chunk)
        # From here on what is there is what was written: nothing to read back.
        self.there = self._verifier.count

    def commit(self) -> None:
        """Give the blob its name, durably, if it is what its descriptor says.

        If not, the temporary is removed, and SizeMismatch or DigestMismatch raised. Raises StoreError, too.
        """
        for _ in self.already():
            pass
        with self._discarding():
            self._verifier.finish()
        self._held.sync()
        # Shared, so that who moves a damaged blob away does not move the one that takes its place.
        with self._room.lock(exclusive=False):
            self._room.rename(self._held.path, self._path)
        self._room.sync(os.path.dirname(self._path))
        self._held.close()

    def discard(self) -> None:
        """Remove what is there, which is wrong: no later transfer shall go on with it. Readers keep what they have."""
        self._room.remove(self._held.path)
        self._held.close()

    def reader(self) -> BinaryIO:
        """Open what is there, from its first byte on, for who reads behind the writing; the caller closes it.

        It stays readable when the blob gets its name. Raises StoreError.
        """
        file = self._room.open(self._held.path)
        if file is None:
            raise StoreError(self._held.path, "was removed while it was written")
        return file

    def close(self) -> None:
        """Let go; what was not committed stays for the next transfer of the same blob."""
        self._held.close()

    def _begin(self) -> Verifier:
        digest, size = self._descriptor.digest, self._descriptor.size
        return Verifier(f"blob {digest}", digest, size)

    @contextmanager
    def _discarding(self) -> Iterator[None]:
        """Discard what is there if it is not what it should be."""
        try:
            yield
        except (SizeMismatch, DigestMismatch):
            self.discard()
            raise
