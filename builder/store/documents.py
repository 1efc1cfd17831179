"""What a manifest or an index of the store points at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from builder.errors import InvalidDigest, MalformedDocument
from builder.image.digest import Digest
from builder.image.media_types import INDEXES, MANIFESTS

DOCUMENTS = MANIFESTS | INDEXES


def links(data: bytes, name: str) -> Iterator[tuple[Digest, str]]:
    """Yield every digest that a document's descriptors name, each with its media type, or "" without one.

    Every object with a digest counts, known field or not: whoever collects garbage had better keep too much. Raises
    MalformedDocument, calling the document `name`, for what is no JSON.
    """
    try:
        pending: list[Any] = [json.loads(data)]
    except (ValueError, RecursionError) as error:
        raise MalformedDocument(name, "$", f"is not valid JSON: {error}") from error
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
