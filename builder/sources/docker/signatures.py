"""Signatures that a repository has of an image: under a tag, and as what refers to it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import BinaryIO

from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.registry.failures import NotThere
from builder.registry.origin import Origin
from builder.sources.source import ATTACHED, BUNDLE, Beside, signature_tag

# How cosign says what a bundle states, so that nobody has to read it.
PREDICATE_TYPE = "dev.sigstore.bundle.predicateType"
SIGNED = "https://sigstore.dev/cosign/sign/v1"
# In entries of each type: more are not looked at. Each image has a handful.
_MOST = 100


def signatures(repository: Origin, digest: Digest) -> Iterator[Beside]:
    """Yield the manifests; they and what they name are not verified. Raises SourceUnreadable, AccessDenied."""
    fetch = partial(_fetch, repository)
    with suppress(NotThere):
        yield Beside(repository.manifest(signature_tag(digest)).data, fetch)
    seen: set[Digest] = set()
    for kind in (BUNDLE, ATTACHED):
        referring = (each for each in repository.referrers(digest, kind) if _may_sign(each))
        for each in islice(referring, _MOST):
            # What may be of either type is listed twice.
            if each.digest not in seen:
                seen.add(each.digest)
                # What is listed may have been removed.
                with suppress(NotThere):
                    yield Beside(repository.manifest(each.digest).data, fetch)


def _may_sign(entry: Descriptor) -> bool:
    return entry.annotations.get(PREDICATE_TYPE, SIGNED) == SIGNED


def _fetch(repository: Origin, descriptor: Descriptor) -> BinaryIO:
    """Fetch a small blob whole."""
    return io.BytesIO(b"".join(repository.download(descriptor).chunks(0)))
