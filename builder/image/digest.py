"""Digests: the names of content (OCI image-spec, descriptor.md, "Digests")."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self

from builder.errors import InvalidDigest
from builder.words import quoted


class Hasher(Protocol):
    """What hashlib makes: feed it bytes, then ask for the lower-case hex."""

    def update(self, data: bytes, /) -> None:
        """Take more content."""
        ...

    def hexdigest(self) -> str:
        """Give the hash of all content so far."""
        ...


# Each algorithm with the length of its hex form; image-spec registers others, but no tool writes them.
_ALGORITHMS: dict[str, tuple[Callable[[], Hasher], int]] = {
    "sha256": (hashlib.sha256, 64),
    "sha512": (hashlib.sha512, 128),
}
_ALGORITHM = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*")
_HEX = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A verifiable digest, written `algorithm:hex`; making a malformed one raises InvalidDigest."""

    algorithm: str
    hex: str

    def __post_init__(self) -> None:
        if not _ALGORITHM.fullmatch(self.algorithm):
            raise InvalidDigest(str(self), "must be written algorithm:hex, as sha256:0123…")
        if self.algorithm not in _ALGORITHMS:
            supported = " and ".join(_ALGORITHMS)
            raise InvalidDigest(str(self), f"algorithm {quoted(self.algorithm)} is not supported, only {supported} are")
        length = _ALGORITHMS[self.algorithm][1]
        if len(self.hex) != length:
            raise InvalidDigest(
                str(self), f"{self.algorithm} takes {length} hex digits, this has {len(self.hex)} characters"
            )
        if not _HEX.fullmatch(self.hex):
            raise InvalidDigest(str(self), "only the hex digits 0-9 and a-f (lower case) may follow the colon")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `algorithm:hex`; raises InvalidDigest for anything else and for other algorithms."""
        algorithm, colon, encoded = text.partition(":")
        if not colon:
            raise InvalidDigest(text, "must be written algorithm:hex, as sha256:0123…")
        return cls(algorithm, encoded)

    @classmethod
    def of(cls, data: bytes, algorithm: str = "sha256") -> Self:
        """Compute the digest of `data`."""
        make = _ALGORITHMS[algorithm][0]
        hasher = make()
        hasher.update(data)
        return cls(algorithm, hasher.hexdigest())

    def hasher(self) -> Hasher:
        """Start hashing content that should turn out to have this digest."""
        return _ALGORITHMS[self.algorithm][0]()

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"
