"""Hash and count content as it passes, and say at its end whether it was what the descriptor promised."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from builder.errors import DigestMismatch, SizeMismatch
from builder.image.digest import Digest

READ_SIZE = 1 << 18


class Passage:
    """A stream of bytes under watch; `what` names it in errors, `size` in bytes is checked where it is known.

    `tail` keeps the last bytes that passed, where a format has its footer.
    """

    TAIL = 64

    def __init__(self, what: str, digest: Digest, size: int | None = None) -> None:
        self._what = what
        self._digest = digest
        self._size = size
        self._hasher = digest.hasher()
        self.count = 0
        self.tail = b""

    def watch(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield `chunks` unchanged; raises SizeMismatch as soon as there are more bytes than promised."""
        for chunk in chunks:
            self.count += len(chunk)
            if self._size is not None and self.count > self._size:
                raise SizeMismatch(self._what, self._size, self.count)
            self._hasher.update(chunk)
            self.tail = (self.tail + chunk[-self.TAIL :])[-self.TAIL :]
            yield chunk

    def finish(self) -> None:
        """Judge the content, all of which has passed; raises SizeMismatch or DigestMismatch."""
        if self._size is not None and self.count != self._size:
            raise SizeMismatch(self._what, self._size, self.count)
        actual = Digest(self._digest.algorithm, self._hasher.hexdigest())
        if actual != self._digest:
            raise DigestMismatch(self._what, str(self._digest), str(actual))


def read_chunks(blob: BinaryIO) -> Iterator[bytes]:
    """Read a blob to its end."""
    while chunk := blob.read(READ_SIZE):
        yield chunk
