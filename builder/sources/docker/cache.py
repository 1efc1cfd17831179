"""Where blobs of a registry are kept: in the image store, or in nameless files that are gone with the process."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import BinaryIO, cast

from builder.errors import BlobMissing, DigestMismatch, SizeMismatch, StoreCorrupt, StoreDenied, StoreError
from builder.exact import read_up_to, write_next
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.document import MAX_DOCUMENT_SIZE
from builder.image.name import ImageName
from builder.image.verifier import Verifier, verify
from builder.sources.docker.background import BlobFile, SequentialBlob
from builder.store.incoming import Incoming
from builder.store.store import Store


class BlobCache:
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
        return cast(BinaryIO, CheckedBlob(file, descriptor, where))

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
        with suppress(DigestMismatch):
            verify(data, digest, "document")
            return data
        return None

    def file(self, descriptor: Descriptor) -> BlobFile:
        """Open the file for a blob that is about to arrive."""
        if self._store is None or self._lease is None:
            return TemporaryBlob(self._scratch)
        with _advised():
            return _IncomingBlob(self._store.receive(descriptor, self._lease))

    def record(self, name: ImageName, root: Descriptor, documents: Iterable[tuple[Descriptor, bytes]]) -> None:
        """Keep the documents, `root` among them, and that `name` resolves to that, if all that they name is here."""
        if self._store is None or self._lease is None:
            return
        with _advised():
            for descriptor, data in documents:
                if not self.has(descriptor):
                    self._store.put(descriptor, [data], self._lease)
                if descriptor == root:
                    content = data
            # Of layers that are kept decoded nobody asked for the blobs.
            with suppress(BlobMissing):
                self._store.put_manifest(name, root, content, self._lease)

    def places(self) -> list[str]:
        """Say where the store is, if there is one."""
        return [] if self._store is None else self._store.directories()

    def close(self) -> None:
        """Give the lease back."""
        if self._lease is not None:
            self._lease.close()
        if self._store is not None:
            self._store.close()


class _IncomingBlob:
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


class TemporaryBlob:
    """A blob in a nameless file of `directory`, by default the system's for temporary files."""

    there = 0

    def __init__(self, directory: Path | None) -> None:
        self._file = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115 - closed by close()

    def write(self, chunk: bytes) -> None:
        """Add what arrived next."""
        write_next(self._file.fileno(), chunk)

    def read(self, position: int, size: int) -> bytes:
        """Read what has been written."""
        return read_up_to(self._file.fileno(), size, position)

    def finish(self) -> None:
        """Nothing is kept, so nothing is verified here."""

    def discard(self) -> None:
        """Nothing is kept anyway."""

    def close(self) -> None:
        """Let go of the file, which is gone then."""
        self._file.close()


class CheckedBlob(SequentialBlob):
    """A blob of the store; takes over `file`, which is at `where`.

    Raises StoreCorrupt at its end if it is not what its name says: whoever fetched it anew would not get another one.
    """

    def __init__(self, file: BinaryIO, descriptor: Descriptor, where: str) -> None:
        self._file = file
        self._where = where
        self._digest = descriptor.digest
        self._verifier = Verifier(where, descriptor.digest, descriptor.size)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def _next(self, size: int) -> bytes:
        chunk = self._file.read(size)
        try:
            if chunk:
                self._verifier.update(chunk)
            else:
                self._verifier.finish()
        except (SizeMismatch, DigestMismatch) as error:
            raise StoreCorrupt(self._where, f"is damaged: its content is not that of {self._digest}") from error
        return chunk


@contextmanager
def _advised() -> Iterator[None]:
    """Say, where the store fails, that a build can do without."""
    try:
        yield
    except (StoreError, StoreDenied) as error:
        if "--no-store" in error.reason:
            raise
        raise type(error)(error.where, f"{error.reason}, or keep nothing with --no-store") from error
