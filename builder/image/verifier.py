"""The one way to find out whether content is what its descriptor promises: hashed and counted as it passes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from builder.errors import DigestMismatch, SizeMismatch
from builder.image.digest import Digest


class Verifier:
    """Content under watch; `what` names it in errors, `size` in bytes is checked where it is known.

    `count` is how many bytes have passed.
    """

    def __init__(self, what: str, digest: Digest, size: int | None = None) -> None:
        self._what = what
        self._digest = digest
        self._size = size
        self._hasher = digest.hasher()
        self.count = 0

    def update(self, chunk: bytes) -> None:
        """Take the bytes that come next; raises SizeMismatch as soon as there are more than promised."""
        if self._size is not None and self.count + len(chunk) > self._size:
            raise SizeMismatch(self._what, self._size, self.count + len(chunk))
        self._hasher.update(chunk)
        self.count += len(chunk)

    def watch(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield `chunks` unchanged; raises what `update` raises."""
        for chunk in chunks:
            self.update(chunk)
            yield chunk

    def finish(self, record: int = 1) -> None:
        """Judge the content, all of which has passed; raises SizeMismatch or DigestMismatch.

        Where it ends within a record of so many bytes, the zeros that would fill it may be missing.
        """
        if self._size is not None and self.count != self._size:
            raise SizeMismatch(self._what, self._size, self.count)
        actual = self.digest
        if actual != self._digest:
            self._hasher.update(bytes(-self.count % record))
            if self.digest != self._digest:
                raise DigestMismatch(self._what, str(self._digest), str(actual))

    @property
    def digest(self) -> Digest:
        """The digest of what has passed."""
        return Digest(self._digest.algorithm, self._hasher.hexdigest())


def verify(data: bytes, digest: Digest, what: str, size: int | None = None) -> None:
    """Hold a whole document against its digest and size; raises SizeMismatch and DigestMismatch, with `what`."""
    verifier = Verifier(what, digest, size)
    verifier.update(data)
    verifier.finish()
