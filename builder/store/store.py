"""The content-addressable store: blobs by their digest, and what references resolved to.

    ROOT/images/blobs/<algorithm>/<hex>         layers, configs, manifests and indexes, each once
    ROOT/images/manifests/<image>/<tag>.json    a reference (reference_files.py says how it is spelled)
    ROOT/images/tmp/                            what is on its way, each file locked by its writer
    ROOT/images/leases/                         what running builds and pulls need, each file locked by its process
    ROOT/images/quarantine/                     what `store verify --quarantine` found corrupt
    ROOT/images/lock                            shared for a moment to change the store, exclusive to collect garbage

Many processes may use a store at once, and any of them may be killed at any moment:

- A blob gets its name by a rename, when its digest and size are verified and its content is synced. So whatever has
  the name of a blob is that blob, and two writers of one blob, each in its own temporary, do not meet.
- A reference gets its name the same way, and only when all that it needs is there and leased. So a reference that
  exists is complete.
- A collection holds the lock exclusively, so no lease grows and no reference appears under its hands. A blob that a
  process found there was leased first: either the collection came before the lease, and the blob was not found, or it
  sees the lease. A lease is given up after the reference was written: the collection sees one or the other.
- A process that dies leaves temporaries and leases that nobody locks. A temporary is taken over by the next transfer
  of its blob, under its lock, or removed by a collection, under its lock. A lease is removed by whoever takes the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from typing import BinaryIO

from builder.errors import (
    BlobMissing,
    DigestMismatch,
    MalformedDocument,
    StoreDenied,
    UnsupportedImage,
)
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.document import MAX_DOCUMENT_SIZE
from builder.image.manifest import Index, Manifest, parse_document
from builder.image.media_types import INDEXES, MANIFESTS
from builder.image.name import ImageName
from builder.image.verifier import verify
from builder.store.incoming import Incoming
from builder.store.lease import Lease
from builder.store.references import References
from builder.store.room import Room

BLOBS = "blobs"
TEMPORARY = "tmp"


class Store:
    """Images in one room. Reading makes nothing; the room is made when something is first written."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self._references = References(room, TEMPORARY)

    @property
    def place(self) -> str:
        """Name the store in messages."""
        return self.room.place

    def directories(self) -> list[str]:
        """Name the directories of this machine in which it is: the one for blobs may be a symlink to elsewhere."""
        return [self.place, f"{self.place}/{BLOBS}"]

    def lease(self) -> Lease:
        """Begin to keep blobs from being collected; close it when they are no longer needed."""
        return Lease(self.room)

    def has(self, digest: Digest) -> bool:
        """Say whether a blob is there; ask after leasing it, if it is to stay there."""
        return self.room.stamp(blob_path(digest)) is not None

    def holds(self, descriptor: Descriptor) -> bool:
        """Say whether a blob is there, and as long as its descriptor says: one of them is wrong otherwise."""
        stamp = self.room.stamp(blob_path(descriptor.digest))
        return stamp is not None and stamp[0] == descriptor.size

    def path(self, digest: Digest) -> str | None:
        """Say where on this machine a blob is or would be; None where the store has no paths."""
        return self.room.path(blob_path(digest))

    def open(self, digest: Digest) -> BinaryIO | None:
        """Open a blob for reading, or return None when it is not there. The caller closes it, and verifies it."""
        return self.room.open(blob_path(digest))

    def read(self, descriptor: Descriptor, what: str) -> bytes | None:
        """Read a document whole and verify it; None when it is not there. `what` names it in errors.

        Raises SizeMismatch and DigestMismatch, and MalformedDocument past MAX_DOCUMENT_SIZE bytes.
        """
        file = self.open(descriptor.digest)
        if file is None:
            return None
        if descriptor.size > MAX_DOCUMENT_SIZE:
            file.close()
            raise MalformedDocument(what, "$", f"documents of more than {MAX_DOCUMENT_SIZE} bytes are refused")
        with file:
            data = file.read(descriptor.size + 1)
        verify(data, descriptor.digest, what, descriptor.size)
        return data

    def receive(self, descriptor: Descriptor, lease: Lease) -> Incoming:
        """Begin to take in a blob, where an interrupted transfer of it left off; the caller closes what it gets."""
        lease.add(descriptor)
        stem = f"{descriptor.digest.algorithm}-{descriptor.digest.hex}"
        left = [name for name in self.room.names(TEMPORARY) if name.startswith(f"{stem}.")]
        for name in left:
            try:
                held = self.room.take_over(f"{TEMPORARY}/{name}")
            except StoreDenied:
                continue  # another user's
            if held is not None:
                break
        else:
            held = self.room.create(TEMPORARY, stem)
        return Incoming(self.room, held, descriptor, blob_path(descriptor.digest))

    def put(self, descriptor: Descriptor, chunks: Iterable[bytes], lease: Lease) -> None:
        """Take in a blob from its first byte on; raises SizeMismatch, DigestMismatch, StoreError, StoreDenied."""
        with closing(self.receive(descriptor, lease)) as incoming:
            incoming.restart()
            for chunk in chunks:
                incoming.write(chunk)
            incoming.commit()

    def put_manifest(self, name: ImageName, descriptor: Descriptor, data: bytes, lease: Lease) -> None:
        """Keep a manifest or an index, and that `name`, a full one, resolves to it.

        What it needs must be there already: config and layers; of an index, at least one of the images, and each
        that is there. So what is recorded is whole. Raises BlobMissing, and what a document is refused for.
        """
        what = f"{self.place}: {name}"
        if name.digest not in (None, descriptor.digest):
            raise DigestMismatch(what, str(name.digest), str(descriptor.digest))
        verify(data, descriptor.digest, what, descriptor.size)
        self._check_complete(descriptor, data, what, lease)
        if not self.holds(descriptor):
            self.put(descriptor, [data], lease)
        # Whoever put the blobs there: their names must outlast what the reference will say.
        for algorithm in self.room.names(BLOBS):
            self.room.sync(f"{BLOBS}/{algorithm}")
        self._references.put(name, descriptor)

    def get_manifest(self, name: ImageName) -> Descriptor | None:
        """Say what a reference resolved to, or None when there is no such reference. Raises StoreCorrupt."""
        return self._references.get(name)

    def references(self) -> Iterator[tuple[ImageName, Descriptor]]:
        """Yield every reference and what it resolved to, in no order. Raises StoreCorrupt."""
        return map(self._references.load, self._references.files())

    def reference_files(self) -> Iterator[str]:
        """Yield the path in the room of every reference, be it readable or not; see `load_reference`."""
        return self._references.files()

    def load_reference(self, path: str) -> tuple[ImageName, Descriptor]:
        """Read the reference at a path in the room; raises StoreCorrupt for what is none, or is gone by now."""
        return self._references.load(path)

    def remove(self, name: ImageName) -> bool:
        """Forget a reference, and say whether there was one; a collection then frees what no other needs."""
        return self._references.remove(name)

    def close(self) -> None:
        """Release what the store holds open."""
        self.room.close()

    def _check_complete(self, descriptor: Descriptor, data: bytes, what: str, lease: Lease) -> None:
        """See that all is there that a document needs, after leasing it, so that it stays."""
        lease.add(descriptor)
        document = parse_document(data, descriptor.media_type, what)
        if isinstance(document, Manifest):
            missing = self._missing(document, lease)
            if missing is not None:
                raise BlobMissing(f"{what}: blob {missing.digest}", missing.urls)
        elif not self._has_an_image(document, what, lease):
            raise BlobMissing(f"{what}: of every image of the index, something")

    def _has_an_image(self, index: Index, what: str, lease: Lease) -> bool:
        seen: set[Digest] = set()
        pending = [index]
        while pending:
            entries = [entry for entry in pending.pop().manifests if entry.media_type in MANIFESTS | INDEXES]
            lease.add(*entries)
            for entry in entries:
                if entry.digest in seen:
                    continue
                seen.add(entry.digest)
                inner = f"{what}: {entry.digest}"
                data = self.read(entry, inner)
                with suppress(UnsupportedImage):  # such as an attestation: nothing to build from
                    found = None if data is None else parse_document(data, entry.media_type, inner)
                    if isinstance(found, Index):
                        pending.append(found)
                    elif found is not None and self._missing(found, lease) is None:
                        return True
        return False

    def _missing(self, manifest: Manifest, lease: Lease) -> Descriptor | None:
        """Find a blob of an image that is not there, or not as it should be."""
        blobs = [manifest.config, *manifest.layers]
        lease.add(*blobs)
        return next((blob for blob in blobs if not self.holds(blob)), None)


def blob_path(digest: Digest) -> str:
    """Say where in its room a store keeps a blob."""
    return f"{BLOBS}/{digest.algorithm}/{digest.hex}"
