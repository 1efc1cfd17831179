"""An image in the stores: its manifest as it was pulled, its config, and its layers as the plain tars they can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from builder.containers_storage.chain import find_chain
from builder.containers_storage.layer import describe_layer, tar_split_paths
from builder.containers_storage.records import ImageRecord, LayerRecord
from builder.containers_storage.store import Store
from builder.errors import BlobMissing, InvalidDigest, MalformedDocument
from builder.events import Listener
from builder.image.config import ImageConfig, parse_config
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.document import member
from builder.image.manifest import Index, Manifest, parse_document
from builder.image.media_types import OCI_CONFIG, OCI_MANIFEST
from builder.image.verifier import verify

# The key of the manifest that was written last; each is also kept under this, a dash and its digest.
MANIFEST = "manifest"


@dataclass(frozen=True, slots=True)
class Stored:
    """An image and the store that it was found in."""

    record: ImageRecord
    store: Store


@dataclass(frozen=True, slots=True)
class Document:
    """A manifest or index as the store has it: its file, its digest, its bytes, and what they say."""

    path: str
    digest: Digest
    data: bytes
    parsed: Manifest | Index


@dataclass(frozen=True, slots=True)
class PlainImage:
    """An image with plain layers: a manifest put together from what the store has.

    `layers` are the store's by the digests in the manifest; `rebuilt` are those of layers that have no tar-split, whose
    tar is made of the unpacked files; `inputs` are the files that say what the image is.
    """

    manifest: Manifest
    config: ImageConfig
    config_data: bytes
    layers: Mapping[Digest, LayerRecord]
    rebuilt: frozenset[Digest]
    inputs: tuple[str, ...]


def list_images(stores: Sequence[Store]) -> list[Stored]:
    """List all images of the stores, in their order.

    One that the first store has counts there only, for there it may have got other names; and a name means what it
    does in the first of the stores that know it.
    """
    found: list[Stored] = []
    own: Mapping[str, ImageRecord] = {}
    for store in stores:
        known = {name for image in found for name in image.record.names or ()}
        records = store.images()
        for record in records.values():
            if record.id not in own:
                names = [name for name in record.names or () if name not in known]
                found.append(Stored(msgspec.structs.replace(record, names=names), store))
        own = own or records
    return found


def read_document(image: Stored, digest: Digest | None = None) -> Document:
    """Read the manifest of an image, the one of `digest` where that is one of its; verified where the store can.

    Raises BlobMissing, DigestMismatch and what the parsers of image/ raise.
    """
    record, store = image.record, image.store
    key = MANIFEST if digest is None else f"{MANIFEST}-{digest}"
    data = store.data(record.id, key)
    if data is None and digest is not None:
        # Stores of 2018 and before have no such keys.
        key = MANIFEST
        data = store.data(record.id, key)
    path = store.data_path(record.id, key)
    if data is None:
        raise BlobMissing(f"manifest {path}")
    stated = digest if key != MANIFEST else _stated(image, key)
    if stated is not None:
        verify(data, stated, f"manifest {path}")
    return Document(path, stated or Digest.of(data), data, parse_document(data, None, path))


def plain_image(
    image: Stored,
    manifest: Manifest,
    stores: Sequence[Store],
    layers: Sequence[Mapping[str, LayerRecord]],
    listen: Listener,
) -> PlainImage:
    """Put together the manifest that stands for an image's own: the config of that one, each layer as a plain tar.

    `layers` are those of the `stores`. Raises what reading the config and the layers raises.
    """
    record, key = image.record, str(manifest.config.digest)
    path = image.store.data_path(record.id, key)
    data = image.store.data(record.id, key)
    if data is None:
        raise BlobMissing(f"image config {path}")
    verify(data, manifest.config.digest, f"image config {path}")
    config = parse_config(data, path)
    if len(manifest.layers) != len(config.diff_ids):
        reason = f"has {len(config.diff_ids)} entries, but the manifest has {len(manifest.layers)} layers"
        raise MalformedDocument(path, "$.rootfs.diff_ids", reason)
    chain = find_chain(path, record.top_layer, layers, config.diff_ids)
    described = [
        describe_layer(stores, layer, diff_id, listen) for layer, diff_id in zip(chain, config.diff_ids, strict=True)
    ]
    # Not the config: no Makefile can hold the name of its file, and the manifest has its digest.
    inputs = [image.store.data_path(record.id, MANIFEST)]
    inputs += [name for layer in chain for name in tar_split_paths(stores, layer)]
    return PlainImage(
        Manifest(OCI_MANIFEST, Descriptor(OCI_CONFIG, manifest.config.digest, len(data)), tuple(described)),
        config,
        data,
        {descriptor.digest: layer for descriptor, layer in zip(described, chain, strict=True)},
        # With a tar-split it is the very tar that was pulled.
        frozenset(descriptor.digest for descriptor in described).difference(config.diff_ids),
        tuple(dict.fromkeys(inputs)),
    )


def _stated(image: Stored, key: str) -> Digest | None:
    """Read the digest that the store noted for what is kept under a key, where it did; raises MalformedDocument."""
    text = (image.record.big_data_digests or {}).get(key)
    try:
        return Digest.parse(text) if text else None
    except InvalidDigest as error:
        where, path = f"{image.store.images_list}, image {image.record.id}", member("$.big-data-digests", key)
        raise MalformedDocument(where, path, f"{error}; the store is damaged") from error
