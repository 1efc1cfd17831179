"""What a store holds, image by image."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from builder.errors import BuilderError, MalformedDocument, StoreCorrupt, UnsupportedImage
from builder.events import Listener, Notice, ignore
from builder.image.attestation import parse_attestations
from builder.image.choose import is_attestation
from builder.image.config import parse_config
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.image import pair
from builder.image.manifest import Index, Manifest, parse_document
from builder.image.media_types import INDEXES, MANIFESTS
from builder.image.name import ImageName
from builder.image.platform import Platform
from builder.store.store import Store, blob_path


@dataclass(frozen=True, slots=True)
class StoredImage:
    """A reference and what is there of it.

    `platforms` are those of images that are whole, `layers` how many different layers these have, `size` the bytes
    of all blobs that are there, each counted once; `missing` are blobs of images that are there in part, and
    `problem` says what is wrong with a document that cannot be read.
    """

    name: ImageName
    descriptor: Descriptor
    platforms: tuple[Platform, ...]
    layers: int
    size: int
    missing: tuple[Digest, ...] = ()
    problem: str | None = None


def images(store: Store, listen: Listener = ignore) -> list[StoredImage]:
    """Describe every image, by name; what is wrong with references is said to `listen`."""
    found = []
    for path in store.reference_files():
        try:
            found.append(describe(store, *store.load_reference(path)))
        except StoreCorrupt as error:
            listen(Notice(str(error)))
    return sorted(found, key=lambda image: str(image.name))


def describe(store: Store, name: ImageName, descriptor: Descriptor) -> StoredImage:
    """Look at what is there of a reference. Never fails for what is wrong with the image: see `problem`."""
    survey = _Survey(store)
    problem = None
    pending = deque([descriptor])
    while pending:
        entry = pending.popleft()
        if entry.digest in survey.sizes:
            continue
        try:
            pending += survey.look(entry, str(name), entry is descriptor)
        except UnsupportedImage:
            continue  # such as an attestation: nothing to build from, and nothing wrong
        except BuilderError as error:
            problem = str(error)
    return StoredImage(
        name,
        descriptor,
        tuple(survey.platforms),
        len(survey.layers),
        sum(survey.sizes.values()),
        tuple(survey.missing),
        problem,
    )


class _Survey:
    """What was found on the way from one document down."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.sizes: dict[Digest, int] = {}
        self.layers: set[Digest] = set()
        self.platforms: dict[Platform, None] = {}
        self.missing: dict[Digest, None] = {}

    def look(self, entry: Descriptor, name: str, required: bool) -> list[Descriptor]:
        """Count a document and what it needs; return the documents that it points at."""
        what = f"{name}: {entry.digest}"
        data = self._store.read(entry, what)
        if data is None:
            # Of an index, what was not pulled is not missing.
            if required:
                self.missing[entry.digest] = None
            return []
        self.sizes[entry.digest] = len(data)
        if is_attestation(entry):
            config, statements = parse_attestations(data, what)
            self._count([*([config] if config else []), *statements])
            return []
        document = parse_document(data, entry.media_type, what)
        if isinstance(document, Index):
            return [child for child in document.manifests if child.media_type in MANIFESTS | INDEXES]
        self._image(document, what)
        return []

    def _count(self, blobs: Sequence[Descriptor]) -> bool:
        """Count blobs that belong to a document; say whether they are there."""
        stamps = {blob.digest: self._store.room.stamp(blob_path(blob.digest)) for blob in blobs}
        absent = [digest for digest, stamp in stamps.items() if stamp is None]
        self.sizes |= {digest: stamp[0] for digest, stamp in stamps.items() if stamp is not None}
        self.missing |= dict.fromkeys(absent)
        return not absent

    def _image(self, manifest: Manifest, what: str) -> None:
        if not self._count([manifest.config, *manifest.layers]):
            return
        config = self._store.read(manifest.config, f"{what}: image config")
        if config is None:
            raise MalformedDocument(f"{what}: image config", "$", "is gone")
        image = pair(what, None, manifest, parse_config(config, f"{what}: image config"))
        self.layers |= {layer.descriptor.digest for layer in image.layers}
        self.platforms[image.config.platform.normalised()] = None
