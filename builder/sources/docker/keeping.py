"""What is kept of what a registry sends: all of it in the image store, or nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import BinaryIO, cast

from builder.errors import BlobMissing, StoreDenied, StoreError
from builder.events import Listener, Notice
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.document import MAX_DOCUMENT_SIZE
from builder.image.name import ImageName
from builder.registry.fetch import Keep
from builder.registry.scratch import ScratchFile
from builder.sources.docker.kept_blob import KeptBlob
from builder.store.incoming import Incoming
from builder.store.store import Store


class Keeping:
    """The image store, if there shall be one, and a lease on what is needed of it; threads may share one.

    Where the store cannot be used, StoreError or StoreDenied says so, and that --no-store goes without.
    """

    def __init__(self, store: Store | None, scratch: Path | None) -> None:
        self._store = store
        self._lease = None if store is None else store.lease()
        self._scratch = scratch

    @property
    def keeps(self) -> bool:
        """Say whether there is a store."""
        return self._store is not None

    def has(self, descriptor: Descriptor) -> bool:
        """Say whether a blob is here, and stays here."""
        if self._store is None or self._lease is None:
            return False
        with _advised():
            self._lease.add(descriptor)
            return self._store.has(descriptor.digest)

    def open(self, descriptor: Descriptor) -> BinaryIO | None:
        """Open a blob that is here; None where it is not. What reading it raises is StoreCorrupt, if it is damaged."""
        if self._store is None or not self.has(descriptor):
            return None
        with _advised():
            file = self._store.open(descriptor.digest)
        if file is None:
            return None
        where = self._store.path(descriptor.digest) or f"{self._store.place}: {descriptor.digest}"
        return cast(BinaryIO, KeptBlob(file, descriptor, where))

    def document(self, digest: Digest) -> bytes | None:
        """Read a document, verified; None where it is not here or is damaged."""
        if self._store is None:
            return None
        with _advised():
            file = self._store.open(digest)
            if file is None:
                return None
            with file:
                data = file.read(MAX_DOCUMENT_SIZE + 1)
        return data if Digest.of(data, digest.algorithm) == digest else None

    def file(self, descriptor: Descriptor) -> Keep:
        """Open the file for a blob that is about to arrive."""
        if self._store is None or self._lease is None:
            return ScratchFile(self._scratch)
        with _advised():
            return _StoredFile(self._store.receive(descriptor, self._lease))

    def record(
        self, name: ImageName, root: Descriptor, documents: Iterable[tuple[Descriptor, bytes]], listen: Listener
    ) -> None:
        """Keep the documents, `root` among them, and that `name` resolves to that."""
        if self._store is None or self._lease is None:
            return
        with _advised():
            for descriptor, data in documents:
                if not self.has(descriptor):
                    self._store.put(descriptor, [data], self._lease)
                if descriptor == root:
                    content = data
            try:
                self._store.put_manifest(name, root, content, self._lease)
            except BlobMissing as error:
                listen(Notice(f"{name} is not recorded in the store: {error}"))

    def close(self) -> None:
        """Give the lease back."""
        if self._lease is not None:
            self._lease.close()
        if self._store is not None:
            self._store.close()


class _StoredFile:
    """A blob on its way into the store."""

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming
        self._reader = incoming.reader()
        self._lock = Lock()
        self.there = incoming.there

    def write(self, chunk: bytes) -> None:
        with _advised():
            self._incoming.write(chunk)

    def read(self, position: int, size: int) -> bytes:
        with self._lock, _advised():
            self._reader.seek(position)
            return self._reader.read(size)

    def finish(self) -> None:
        with _advised():
            self._incoming.commit()

    def discard(self) -> None:
        with _advised():
            self._incoming.discard()

    def close(self) -> None:
        self._reader.close()
        self._incoming.close()


@contextmanager
def _advised() -> Iterator[None]:
    """Say, where the store fails, that a build can do without."""
    try:
        yield
    except (StoreError, StoreDenied) as error:
        if "--no-store" in error.reason:
            raise
        raise type(error)(error.where, f"{error.reason}, or keep nothing with --no-store") from error
