"""Copy into the store what an image's index has attested of it; no image depends on that."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from builder.errors import ImageRefused, UnsupportedImage
from builder.events import Listener, Notice
from builder.image.attestation import parse_attestations
from builder.image.descriptor import Descriptor
from builder.image.image import Image
from builder.image.media_types import MANIFESTS
from builder.sources.attestations import MAX_MANIFESTS, MAX_SIZE, MAX_STATEMENTS
from builder.sources.documents import read_verified
from builder.sources.selection import Keep
from builder.sources.source import Source
from builder.words import quoted


def keep_attested(
    source: Source, image: Image, keep: Keep, copy: Callable[[Iterable[Descriptor]], None], listen: Listener
) -> None:
    """Copy all that is attested of an image, as far as builds hand it on; what is refused of it is said and left out.

    `keep` takes a document, `copy` blobs. Each manifest comes after what it names. Raises what the source does.
    """
    left = MAX_SIZE
    for manifest in image.attestations[:MAX_MANIFESTS]:
        name = f"{image.reference}: attestations {manifest.digest}"
        try:
            if manifest.media_type not in MANIFESTS:
                # Nobody would follow it, and so what it names would be garbage.
                raise UnsupportedImage(name, f"its type {quoted(manifest.media_type, 100)} is no manifest's")
            data = read_verified(source.open(manifest), manifest, name)
            config, statements = parse_attestations(data, name)
            blobs = [config, *statements] if config else statements
            left -= sum(each.size for each in blobs)
            if len(statements) > MAX_STATEMENTS or left < 0:
                reason = f"more than {MAX_STATEMENTS} statements, or {MAX_SIZE} bytes of them, are refused"
                raise UnsupportedImage(name, reason)
            copy(blobs)
            keep(manifest, data)
        except ImageRefused as error:
            listen(Notice(f"{error}; it is not kept"))
    if (more := len(image.attestations) - MAX_MANIFESTS) > 0:
        reason = f"has {more} manifests more than {MAX_MANIFESTS} of attestations, which are not kept"
        listen(Notice(f"{image.reference}: its index {reason}"))
