"""A blob that the store has had for long: hashed once more as it is read, so that damage is laid at the right door."""

from __future__ import annotations

import io
from typing import BinaryIO

from builder.errors import StoreCorrupt
from builder.image.descriptor import Descriptor

_READ_SIZE = 1 << 20


class KeptBlob(io.RawIOBase):
    """A blob of the store for one sequential read; takes over `file`, which is at `where`.

    Raises StoreCorrupt at its end if it is not what its name says: whoever fetched it anew would not get another one.
    """

    def __init__(self, file: BinaryIO, descriptor: Descriptor, where: str) -> None:
        self._file = file
        self._descriptor = descriptor
        self._where = where
        self._hasher = descriptor.digest.hasher()
        self._count = 0

    def readable(self) -> bool:
        """Say yes."""
        return True

    def read(self, size: int | None = -1) -> bytes:
        """Read `size` bytes, fewer only at the end."""
        left = -1 if size is None or size < 0 else size
        chunks: list[bytes] = []
        while left:
            chunk = self._file.read(left if left > 0 else _READ_SIZE)
            self._check(chunk)
            if not chunk:
                break
            chunks.append(chunk)
            left -= len(chunk) if left > 0 else 0
        return b"".join(chunks)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def _check(self, chunk: bytes) -> None:
        self._hasher.update(chunk)
        self._count += len(chunk)
        expected = self._descriptor
        ended = not chunk
        if self._count > expected.size or (ended and self._hasher.hexdigest() != expected.digest.hex):
            raise StoreCorrupt(self._where, f"is damaged: its content is not that of {expected.digest}")
