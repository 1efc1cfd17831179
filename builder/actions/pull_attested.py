"""Copy into the store what an image's index has attested of it; no image depends on that."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from builder.errors import ImageRefused, UnsupportedImage
from builder.events import Listener, Notice
from builder.image.attestation import parse_attestations
from builder.image.descriptor import Descriptor
from builder.image.image import Image
from builder.sources.attestations import MAX_MANIFESTS, MAX_SIZE, MAX_STATEMENTS
from builder.sources.documents import read_verified
from builder.sources.selection import Keep
from builder.sources.source import Source


def keep_attested(
    source: Source, image: Image, keep: Keep, copy: Callable[[Iterable[Descriptor]], None], listen: Listener
) -> None:
    """Copy all that is attested of an image, as far as builds hand it on; what is refused of it is said and left out.

    `keep` takes a document, `copy` blobs. Each manifest comes after what it names. Raises what the source does.
    """
    left = MAX_SIZE
    for number, manifest in enumerate(image.attestations):
        name = f"{image.reference}: attestations {manifest.digest}"
        try:
            if number >= MAX_MANIFESTS:
                raise UnsupportedImage(name, f"of one image, more than {MAX_MANIFESTS} are refused")
            data = read_verified(source.open(manifest), manifest, name)
            config, statements = parse_attestations(data, name)
            left -= sum(each.size for each in statements)
            if len(statements) > MAX_STATEMENTS or left < 0:
                reason = f"more than {MAX_STATEMENTS} statements, or {MAX_SIZE} bytes of them, are refused"
                raise UnsupportedImage(name, reason)
            copy([*([config] if config and config.size <= MAX_SIZE else []), *statements])
            keep(manifest, data)
        except ImageRefused as error:
            listen(Notice(f"{error}; it is not kept"))
