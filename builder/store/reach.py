"""What is reached from a reference: the documents that are there, and all that they name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from builder.errors import DigestMismatch, InvalidDigest
from builder.image.digest import Digest
from builder.image.document import MAX_DOCUMENT_SIZE
from builder.image.media_types import INDEXES, MANIFESTS
from builder.image.verifier import verify
from builder.store.store import Store

DOCUMENTS = MANIFESTS | INDEXES


class Reach:
    """Follows documents, each of which it reads once. `corrupt` says of which nothing can be said, and why."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._links: dict[Digest, tuple[tuple[Digest, str], ...]] = {}
        self.corrupt: dict[Digest, str] = {}

    def of(self, roots: Iterable[tuple[Digest, str]]) -> set[Digest]:
        """Give all that is reached from digests, each of which comes with its media type: there or not."""
        # One image's layer, or so it says, may be another's manifest: what is reached may still have to be followed.
        reached: set[Digest] = set()
        followed: set[Digest] = set()
        pending = list(roots)
        while pending:
            digest, media_type = pending.pop()
            reached.add(digest)
            if media_type in DOCUMENTS and digest not in followed:
                followed.add(digest)
                pending += self._follow(digest)
        return reached

    def _follow(self, digest: Digest) -> tuple[tuple[Digest, str], ...]:
        if digest not in self._links:
            self._links[digest] = tuple(self._read(digest))
        return self._links[digest]

    def _read(self, digest: Digest) -> Iterable[tuple[Digest, str]]:
        file = self._store.open(digest)
        if file is None:
            return ()
        with file:
            data = file.read(MAX_DOCUMENT_SIZE + 1)
        if len(data) > MAX_DOCUMENT_SIZE:
            return ()  # no command of ours reads it, so nothing is needed for it
        try:
            verify(data, digest, "document")
            return links(json.loads(data))
        except DigestMismatch as error:
            self.corrupt[digest] = f"its content is {error.actual}"
            return ()
        except (ValueError, RecursionError):
            return ()  # nor this: it is what its digest says, and no image of it will ever be read


def links(document: Any) -> Iterator[tuple[Digest, str]]:
    """Yield every digest that a document's descriptors name, each with its media type, or "" without one.

    Every object with a digest counts, known field or not: whoever collects garbage had better keep too much.
    """
    pending: list[Any] = [document]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            if isinstance(digest := value.get("digest"), str):
                media_type = value.get("mediaType")
                # What is no digest is no blob's of the store.
                with suppress(InvalidDigest):
                    yield Digest.parse(digest), media_type if isinstance(media_type, str) else ""
            pending += value.values()
        elif isinstance(value, list):
            pending += value
