"""`containers-storage:[ROOT]NAME`: an image in the store of podman, buildah or CRI-O, read where it is.

The store has the manifest and the config as they were pulled, but each layer only unpacked. So the manifest that is
given out is put together: its layers are plain tars, whose digests are the config's diff_ids.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from io import BytesIO
from typing import BinaryIO

from builder.containers_storage.conf import find_place
from builder.containers_storage.find import asked_digest, find_images, found_names, is_fixed
from builder.containers_storage.image import (
    Document,
    PlainImage,
    Stored,
    list_images,
    plain_image,
    read_document,
)
from builder.containers_storage.layer import open_layer_tar
from builder.containers_storage.place import OVERLAY, split_place
from builder.containers_storage.records import LayerRecord
from builder.containers_storage.store import Store, open_store, refuse_driver
from builder.errors import BlobMissing, ImageNotFound, ImageRefused, InvalidReference, UnsupportedImage
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.manifest import Index, Manifest
from builder.image.media_types import OCI_INDEX
from builder.image.render import render_document
from builder.sources.access import Means
from builder.sources.source import Root, Source
from builder.sources.transport import Reference
from builder.words import listed


def open_containers_storage(reference: Reference, means: Means) -> Source:
    """Open the stores that the reference names, or those of the user; raises ImageNotFound, UnsupportedImage."""
    place, name = split_place(reference.place, reference.text)
    if not name:
        raise InvalidReference(reference.text, "names no image; write containers-storage:NAME")
    if place is None:
        place = find_place(os.environ, os.geteuid())
    if place.driver not in (None, OVERLAY):
        raise refuse_driver(place.root, place.driver or "")
    with ExitStack() as opened:
        stores = []
        for root in (place.root, *place.additional):
            store = open_store(root, means.listen)
            if store is not None:
                stores.append(opened.enter_context(closing(store)))
        if not stores:
            reason = f"there is no such directory (named by {place.origin}); write [overlay@ROOT]NAME for another store"
            raise ImageNotFound(place.root, reason)
        return ContainersStorage(stores, name, reference, means, opened.pop_all())


class ContainersStorage:
    """One image of several stores that belong together; takes over `opened`, which closes them."""

    def __init__(
        self, stores: Sequence[Store], name: str, reference: Reference, means: Means, opened: ExitStack
    ) -> None:
        self._stores = stores
        self._name = name
        self._text = reference.text
        self._listen = means.listen
        self._opened = opened
        self._documents: dict[Digest, bytes] = {}
        self._layers: dict[Digest, LayerRecord] = {}
        self._rebuilt: set[Digest] = set()
        self._originals: dict[Digest, Digest] = {}
        self._refused: dict[Digest, ImageRefused] = {}
        self._inputs: dict[str, None] = {}
        self._records: list[Mapping[str, LayerRecord]] = []

    def root(self) -> Root:
        """Describe the image: a manifest of plain layers, or an index of such manifests.

        Finds out how long each layer is, for which its tar-split is read; a layer without one is read and hashed.
        """
        images = list_images(self._stores)
        chosen = self._choose(images)
        with ExitStack() as locks:
            for store in self._stores:
                locks.enter_context(store.layers_locked())
            return self._describe_chosen(chosen, images)

    def names(self) -> list[str]:
        """Give those of the image's names that it was found by; all, for one that was found by its ID.

        None with a digest: the manifest that is given out has another.
        """
        chosen = self._choose(list_images(self._stores))
        return [name for image in chosen for name in found_names(image.record, self._name) if "@" not in name]

    def _choose(self, images: Sequence[Stored]) -> list[Stored]:
        found = find_images([image.record for image in images], self._name)
        chosen = [image for image in images if any(image.record is record for record in found)]
        if not chosen:
            names = listed(sorted({name for image in images for name in image.record.names or ()}))
            reason = f"there is no such image in {self._where()}; there are: {names or 'none that has a name'}"
            if not images:
                # As root's is for who builds with podman as an ordinary user, and the other way round.
                reason = f"{self._where()} holds no image at all; each user has a store, podman info says where"
            raise ImageNotFound(self._text, reason)
        return chosen

    def _describe_chosen(self, chosen: Sequence[Stored], images: Sequence[Stored]) -> Root:
        self._records = [store.layers() for store in self._stores]
        if len({image.record.id for image in chosen}) == 1:
            return self._describe(chosen[0], images)
        if asked_digest(self._name) is None:
            names = listed(sorted((image.record.names or [image.record.id])[0] for image in chosen))
            raise InvalidReference(self._text, f"can mean several images: {names}; write one of them in full")
        # Pulled by the digest of an index, for several platforms, each of which became an image of its own.
        return Index(OCI_INDEX, tuple(self._entry(image) for image in chosen))

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """Open a document or a layer that `root` described; raises BlobMissing."""
        digest = descriptor.digest
        if digest in self._refused:
            raise self._refused[digest]
        if digest in self._documents:
            return BytesIO(self._documents[digest])
        if digest in self._layers:
            return open_layer_tar(self._stores, self._layers[digest])
        raise BlobMissing(f"looked for in {self._where()}", descriptor.urls)

    def original(self, manifest: Descriptor) -> Digest | None:
        """Name the store's own manifest that one which was put together stands for."""
        return self._originals.get(manifest.digest)

    def is_rebuilt(self, layer: Descriptor) -> bool:
        """Say whether a layer has no tar-split, so that its tar is one made of the unpacked files."""
        return layer.digest in self._rebuilt

    def inputs(self) -> list[str]:
        """Name the files that say which image this is and what its layers are.

        Among them is the list of all images if the reference is a name, which can come to mean another image.
        """
        return list(self._inputs)

    def readable(self) -> list[str]:
        """Name the stores."""
        return [store.root for store in self._stores]

    def changeable(self) -> list[str]:
        """Name nothing: podman's stores are only read."""
        return []

    def close(self) -> None:
        """Close the stores."""
        self._opened.close()

    def _where(self) -> str:
        return " and ".join(store.root for store in self._stores)

    def _describe(self, image: Stored, images: Sequence[Stored]) -> Root:
        if not is_fixed(self._name, image.record):
            self._inputs[image.store.images_list] = None
        document = read_document(image, asked_digest(self._name))
        if isinstance(document.parsed, Index) and asked_digest(self._name):
            # It may have been asked for by the digest of an index that this image was chosen from.
            document = read_document(image)
        if isinstance(document.parsed, Manifest):
            plain = self._plain(image, document.parsed)
            # As a document it could be pulled, and nobody would know that nothing vouches for its layers.
            return plain.manifest if plain.rebuilt else self._keep(plain, document)
        entries = []
        for entry in document.parsed.manifests:
            held = [each for each in images if each is not image and str(entry.digest) in each.record.digests]
            entries.append(self._entry(held[0], entry) if held else entry)
        return replace(document.parsed, manifests=tuple(entries))

    def _entry(self, image: Stored, entry: Descriptor | None = None) -> Descriptor:
        """Describe an image as one of an index, where it is `entry`; what is damaged is refused when it is chosen."""
        try:
            document = read_document(image, entry.digest if entry else None)
            if not isinstance(document.parsed, Manifest):
                raise UnsupportedImage(document.path, "is an index in an index; name one of its images")
            plain = self._plain(image, document.parsed)
            if plain.rebuilt:
                raise UnsupportedImage(document.path, "a layer of it has no tar-split; name the image by its own ID")
        except ImageRefused as error:
            if entry is None:
                raise
            self._refused[entry.digest] = error
            return entry
        return replace(self._keep(plain, document), platform=entry.platform if entry else plain.config.platform)

    def _plain(self, image: Stored, manifest: Manifest) -> PlainImage:
        """Put an image with plain layers together, and remember how to open its parts."""
        plain = plain_image(image, manifest, self._stores, self._records, self._listen)
        self._documents[plain.manifest.config.digest] = plain.config_data
        self._layers |= plain.layers
        self._rebuilt |= plain.rebuilt
        self._inputs |= dict.fromkeys(plain.inputs)
        return plain

    def _keep(self, plain: PlainImage, document: Document) -> Descriptor:
        """Write a manifest that was put together, and describe it; it stands for the store's own."""
        data = render_document(plain.manifest)
        digest = Digest.of(data)
        self._documents[digest] = data
        self._originals[digest] = document.digest
        return Descriptor(plain.manifest.media_type, digest, len(data))
