"""One image of this tool's own store.

Names are read as Docker reads them: no tag is `latest`, a digest comes before a tag. A short name is looked for in
`localhost` and on Docker Hub.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import BinaryIO

from builder.errors import BlobMissing, ImageNotFound, InvalidReference, StoreDenied, StoreError
from builder.events import Listener
from builder.image.descriptor import Descriptor
from builder.image.name import ImageName
from builder.sources.access import Access
from builder.sources.source import Source
from builder.sources.transport import Reference
from builder.store import Store, open_store
from builder.store.find import find, offer
from builder.store.reference_files import path_of


def open_store_image(reference: Reference, access: Access, listen: Listener) -> Source:
    """Open an image of the store; nothing is made there but a lease, while it is open."""
    try:
        name = ImageName.parse(reference.place)
    except InvalidReference as error:
        raise InvalidReference(reference.text, error.reason) from error
    return StoreSource(open_store(access.store, listen), reference.text, name)


class StoreSource:
    """One image of a store; takes over `store` and closes it.

    What it needs is leased while it is open. Who may only read the store, or finds it full, opens the layers beforehand
    instead: an open file outlives its name.
    """

    def __init__(self, store: Store, text: str, name: ImageName) -> None:
        self._store = store
        self._text = text
        self._name = name
        self._lease = store.lease()
        self._leased = False
        self._root: tuple[ImageName, Descriptor] | None = None
        self._ahead: dict[Descriptor, BinaryIO] = {}
        self._inputs: dict[str, None] = {}

    def root(self) -> Descriptor:
        """Say what the reference resolved to; raises ImageNotFound, naming what is there, and InvalidReference."""
        if self._root is None:
            self._root = self._hold(*self._find())
        return self._root[1]

    def names(self) -> list[str]:
        """Give the full name."""
        return [str((self._root or self._find())[0])]

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """Open a blob by its digest; raises BlobMissing."""
        file = self._ahead.pop(descriptor, None) or self._store.open(descriptor.digest)
        if file is None:
            raise BlobMissing(f"looked for in the store {self._store.place}", descriptor.urls)
        self._remember(self._store.path(descriptor.digest))
        return file

    def expect(self, layers: Sequence[Descriptor]) -> None:
        """Open the layers, if nothing else keeps them there."""
        if not self._leased:
            for layer in layers:
                if layer not in self._ahead and (file := self._store.open(layer.digest)) is not None:
                    self._ahead[layer] = file

    def inputs(self) -> list[str]:
        """Name the reference's file and the blobs that were read so far."""
        return list(self._inputs)

    def readable(self) -> list[str]:
        """Name nothing but the store."""
        return []

    def changeable(self) -> list[str]:
        """Name the store, where the lease is."""
        return self._store.directories()

    def close(self) -> None:
        """Give the lease back."""
        for file in self._ahead.values():
            file.close()
        self._ahead.clear()
        self._lease.close()
        self._store.close()

    def _hold(self, name: ImageName, descriptor: Descriptor) -> tuple[ImageName, Descriptor]:
        """Lease what a name resolved to; give that, or what the name resolves to by then."""
        while True:
            self._leased = False
            # Who may not write the store, or finds it full, may still read it.
            with suppress(StoreDenied, StoreError):
                self._lease.add(descriptor)
                self._leased = True
            # It may have been replaced, and the old one collected, before it was leased.
            again = self._store.get_manifest(name)
            if again in (None, descriptor):
                break
            descriptor = again
        if self._store.room.stamp(path_of(name)) is not None:
            self._remember(self._store.room.path(path_of(name)))
        return name, descriptor

    def _remember(self, path: str | None) -> None:
        if path is not None:
            self._inputs[path] = None

    def _find(self) -> tuple[ImageName, Descriptor]:
        """Find what the name means; raises ImageNotFound, and InvalidReference where it means several images."""
        found = find(self._store, self._name)
        if not found:
            place = self._store.place
            raise ImageNotFound(
                self._text, f"there is no such image in the store {place}; {offer(self._store, self._name)}"
            )
        if len({descriptor.digest for descriptor in found.values()}) > 1:
            choices = " or ".join(f"store:{name}" for name in found)
            raise InvalidReference(self._text, f"names several images; write {choices}")
        return next(iter(found.items()))
