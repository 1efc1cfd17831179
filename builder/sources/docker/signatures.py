"""Signatures that repositories have of an image or a disk: under a tag, and as what refers to it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import BinaryIO

from builder.errors import ImageRefused, SourceUnreadable
from builder.events import Listener, Notice
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.registry.failures import AccessDenied, NotThere
from builder.registry.origin import Origin
from builder.sources.source import ATTACHED, BUNDLE, Beside, signature_tag

# How cosign says what a bundle states, so that nobody has to read it.
PREDICATE_TYPE = "dev.sigstore.bundle.predicateType"
SIGNED = "https://sigstore.dev/cosign/sign/v1"
# In entries of each type: more are not looked at. Each image has a handful.
_MOST = 100


def signatures(repository: Origin, last: Origin, digest: Digest, listen: Listener) -> Iterator[Beside | ImageRefused]:
    """Yield the manifests of where something was found, and of the `last` place, which that one may mirror.

    They and what they name are not verified. Raises SourceUnreadable, AccessDenied.
    """
    for each in dict.fromkeys((repository, last)):
        try:
            yield from _in(each, digest)
        except (SourceUnreadable, AccessDenied, ImageRefused) as error:
            if each is last:
                raise
            listen(Notice(f"mirror {each.where}: signatures: {error}; asking the next"))


def _in(repository: Origin, digest: Digest) -> Iterator[Beside | ImageRefused]:
    yield from _beside(repository, signature_tag(digest))
    seen: set[Digest] = set()
    for kind in (BUNDLE, ATTACHED):
        # What may be of either type is listed twice.
        listed = repository.referrers(digest, kind)
        referring = (each.digest for each in listed if _may_sign(each) and each.digest not in seen)
        for each in islice(referring, _MOST):
            seen.add(each)
            yield from _beside(repository, each)


def _beside(repository: Origin, reference: str | Digest) -> Iterator[Beside | ImageRefused]:
    # What is listed may have been removed.
    with suppress(NotThere):
        try:
            yield Beside(repository.manifest(reference).data, partial(_fetch, repository))
        except ImageRefused as error:
            yield error


def _may_sign(entry: Descriptor) -> bool:
    return entry.annotations.get(PREDICATE_TYPE, SIGNED) == SIGNED


def _fetch(repository: Origin, descriptor: Descriptor) -> BinaryIO:
    """Fetch a small blob whole."""
    return io.BytesIO(b"".join(repository.download(descriptor).chunks(0)))
