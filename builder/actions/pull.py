"""Copy an image from wherever it is into the store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

from builder.actions.pull_attested import keep_attested
from builder.actions.pull_blobs import Transfers, copy_layers
from builder.errors import InvalidReference
from builder.events import Listener, ignore
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.image import Image
from builder.image.name import ImageName
from builder.image.platform import Platform
from builder.layers.account import Account
from builder.limits import Limits
from builder.sources import open_source
from builder.sources.access import Access, Means
from builder.sources.reference import parse_reference
from builder.sources.selection import select
from builder.sources.source import Source
from builder.sources.stored_name import stored_name
from builder.store import open_store
from builder.store.reference_files import recorded


@dataclass(frozen=True, slots=True)
class Pulled:
    """An image that is in the store now: its full name, its document's digest, and which of its images were asked for.

    `copied` counts the bytes of the layers that were not there before.
    """

    name: ImageName
    digest: Digest
    platforms: tuple[Platform, ...]
    copied: int


def pull(
    reference: str,
    access: Access | None = None,
    *,
    name: ImageName | None = None,
    platforms: Sequence[Platform] | None = (),
    limits: Limits | None = None,
    tmpdir: Path | None = None,
    source: Source | None = None,
    listen: Listener = ignore,
) -> Pulled:
    """Copy the image at `reference` into the store that `access` names, and record it as `name`.

    Indexes stay indexes, of which the images for `platforms` are copied: by default this machine's, with None all.
    What the index has attested of them comes with them. Every blob is verified; what is there already is not copied
    again, and what an interrupted transfer left is used.
    Compressed archives are unpacked in `tmpdir`, by default the system's place for temporary files. A `source` that was
    opened for this (see open_to_pull) is taken over.
    The image is recorded when all of it is there. No layer is begun that claims more bytes than `limits` has for what
    it unpacks to. Raises InvalidReference where its name cannot be told, LimitExceeded, and BuilderError.
    """
    parsed = parse_reference(reference)
    limits, access = limits or Limits(), access or Access()
    with ExitStack() as stack:
        if source is not None:
            stack.enter_context(closing(source))
        store = stack.enter_context(closing(open_store(access.store, listen)))
        lease = stack.enter_context(store.lease())
        if source is None:
            source = stack.enter_context(closing(open_to_pull(reference, access, limits, tmpdir, listen)))
        name = recorded(name or stored_name(parsed, source))

        def keep(document: Descriptor, content: bytes) -> None:
            lease.add(document)
            if not store.holds(document):
                store.put(document, [content], lease)

        chosen = select(source, reference, platforms, keep, listen)
        if name.digest not in (None, chosen.root.digest):
            reason = f"is no name for this image, whose digest is {chosen.root.digest}; choose another with --name"
            raise InvalidReference(str(name), reason)
        filling = parsed.transport is not None and parsed.transport.fills_store
        transfers = Transfers(source, store, lease, ignore, filling=filling)

        def copy(blobs: Iterable[Descriptor]) -> None:
            lease.add(*blobs)
            for blob in blobs:
                if not store.holds(blob):
                    transfers.bring(blob)

        layers = _layers(chosen.images, limits)
        copied = copy_layers(source, layers, store, lease, filling, listen)
        for image in chosen.images:
            keep_attested(source, image, keep, copy, listen)
        store.put_manifest(name, chosen.root, chosen.content, lease)
    found = dict.fromkeys(image.config.platform.normalised() for image in chosen.images)
    return Pulled(name, chosen.root.digest, tuple(found), copied)


def open_to_pull(reference: str, access: Access, limits: Limits, tmpdir: Path | None, listen: Listener) -> Source:
    """Open an image that is to be copied into the store. Raises what `open_source` raises."""
    # Recorded by who copies it, under the one name that was asked for.
    return open_source(reference, replace(access, keep=True), Means(tmpdir, listen, limits, record=False))


def _layers(images: Sequence[Image], limits: Limits) -> list[Descriptor]:
    """List the layers of images, each once. Raises LimitExceeded where they claim more bytes than may be unpacked."""
    # Who claims too much is refused before anything is fetched.
    Account.of(images, limits)
    return list({layer.descriptor.digest: layer.descriptor for image in images for layer in image.layers}.values())
