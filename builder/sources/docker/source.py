"""`docker://NAME[:TAG][@DIGEST]`: an image in a registry (OCI distribution-spec), and what the store has of it.

A tag is looked up each time; a digest whose documents are in the store needs no network, nor do blobs that are there.
Where both are given the digest decides, as for Docker.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import BinaryIO, cast

from builder.errors import BlobMissing, ImageRefused
from builder.events import Notice
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.manifest import parse_document
from builder.image.media_types import INDEXES, MANIFESTS
from builder.image.name import ImageName
from builder.registry.failures import NotThere
from builder.registry.fetched import FetchedOrigin
from builder.registry.origin import Origin
from builder.sources.access import Access, Means
from builder.sources.docker.asking import first_answer, not_found
from builder.sources.docker.background import BackgroundDownload
from builder.sources.docker.cache import BlobCache
from builder.sources.docker.queue import DownloadQueue
from builder.sources.docker.repositories import open_origins
from builder.sources.docker.signatures import signatures
from builder.sources.source import Beside, Source
from builder.sources.transport import Reference
from builder.store import Store, no_default, open_store


def open_docker(reference: Reference, access: Access, means: Means) -> Source:
    """Open an image in a registry; nothing is sent before it is asked for something."""
    name, origins = open_origins(reference, access.registry, means.listen)
    cache = BlobCache(_store(access, means), means.scratch)
    return DockerSource(reference.text, name, origins, cache, means)


def _store(access: Access, means: Means) -> Store | None:
    """Open the store that is to keep what comes; None where none is wanted, or the user's own has no place."""
    if not access.keep:
        return None
    if access.store is None and (reason := no_default()) is not None:
        means.listen(Notice(f"nothing is kept for the next build: {reason}"))
        return None
    return open_store(access.store, means.listen)


class DockerSource:
    """One image of a registry; takes over `cache` and the repositories, of which the last is no mirror."""

    def __init__(
        self, text: str, name: ImageName, repositories: Sequence[Origin], cache: BlobCache, means: Means
    ) -> None:
        self._text = text
        self._name = name
        self._repositories = repositories
        self._repository = repositories[-1]
        self._cache = cache
        self._listen = means.listen
        self._record = means.record
        self._root: Descriptor | None = None
        self._documents: dict[Digest, tuple[Descriptor, bytes]] = {}
        self._layers: Sequence[Descriptor] | None = None
        self._seen: set[Digest] = set()
        self._opened: set[Digest] = set()
        self._closed = False
        self._downloads = DownloadQueue(self._begin, cache.has, repositories[-1].where)

    def root(self) -> Descriptor:
        """Ask what the reference means, mirrors first; raises ImageNotFound, naming some tags."""
        if self._root is None:
            self._root = self._find()
        return self._root

    def names(self) -> list[str]:
        """Give the full name; the registry is not asked."""
        return [str(self._name)]

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """Open a document or a blob; it is fetched when it is read. Raises BlobMissing, and what a registry does."""
        if descriptor.digest in self._documents:
            return io.BytesIO(self._documents[descriptor.digest][1])
        if descriptor.media_type in MANIFESTS | INDEXES:
            return io.BytesIO(self._document(descriptor))
        self._opened.add(descriptor.digest)
        if not self._downloads.holds(descriptor):
            kept = self._cache.open(descriptor)
            if kept is not None:
                return kept
            if descriptor.digest not in self._seen and not self._repository.has_blob(descriptor.digest):
                raise BlobMissing(f"looked for at {self._repository.where}", descriptor.urls)
            self._seen.add(descriptor.digest)
        return cast(BinaryIO, self._downloads.open(descriptor))

    def signatures(self, digest: Digest) -> Iterator[Beside | ImageRefused]:
        """Give the manifests of signatures, of where the image is, and of where that place mirrors."""
        return signatures(self._repository, self._repositories[-1], digest, self._listen)

    def look_for(self, blobs: Sequence[Descriptor]) -> None:
        """Ask for those that are not here, and were not asked for."""
        unknown = [blob.digest for blob in blobs if blob.digest not in self._seen and not self._cache.has(blob)]
        # Many an image has the same empty layer several times.
        self._seen |= self._repository.which_blobs(list(dict.fromkeys(unknown)))

    def expect(self, layers: Sequence[Descriptor]) -> None:
        """Begin to fetch the first layers; the others follow as those are read."""
        self._layers = layers
        self._downloads.expect(layers)

    def fetched_apart(self) -> bool:
        """Say whether another process fetches it."""
        return isinstance(self._repository, FetchedOrigin)

    def stay(self) -> None:
        """Have the process that fetches open no other repository from now on."""
        if isinstance(self._repository, FetchedOrigin):
            self._repository.stay()

    def settle(self) -> None:
        """Have the process that fetches fetch nothing from now on but blobs that were opened before."""
        if isinstance(self._repository, FetchedOrigin):
            self._repository.settle(self._opened)

    def inputs(self) -> list[str]:
        """Name no files: make cannot watch a registry."""
        return []

    def readable(self) -> list[str]:
        """Name nothing but the store."""
        return []

    def changeable(self) -> list[str]:
        """Name the store, if there shall be one."""
        return self._cache.places()

    def close(self) -> None:
        """End the transfers and who waits for them; record the image in the store if all of it is there."""
        if self._closed:
            return
        self._closed = True
        for repository in self._repositories:
            repository.stop()
        try:
            self._downloads.close()
            whole = self._layers is not None and all(map(self._cache.has, self._layers))
            if self._record and self._root is not None and whole:
                self._cache.record(self._name, self._root, self._documents.values())
        finally:
            self._cache.close()
            for repository in self._repositories:
                repository.close()

    def _begin(self, descriptor: Descriptor) -> BackgroundDownload:
        download = self._repository.download(descriptor)
        return BackgroundDownload(download, lambda: self._cache.file(descriptor), self._repository.where)

    def _find(self) -> Descriptor:
        if self._name.digest is not None and (data := self._cache.document(self._name.digest)) is not None:
            return self._take(data, self._name.digest, None)
        return first_answer(self._repositories, self._ask, self._listen)

    def _ask(self, repository: Origin) -> Descriptor:
        self._repository = repository
        name = self._name
        try:
            if name.digest is None and self._cache.keeps:
                # Registries count and limit what is fetched, not what is asked.
                hint = repository.tag_hint(name.tag or "")
                data = None if hint is None else self._cache.document(hint[0])
                # Servers that make up an answer to HEAD seldom know the size.
                if hint is not None and data is not None and len(data) == hint[1]:
                    return self._take(data, hint[0], None)
            found = repository.manifest(name.digest or name.tag or "")
        except NotThere as error:
            raise not_found(self._text, name, repository) from error
        return self._take(found.data, found.digest, found.media_type)

    def _take(self, data: bytes, digest: Digest, media_type: str | None) -> Descriptor:
        kind = parse_document(data, media_type, f"{self._text}: manifest {digest}").media_type
        descriptor = Descriptor(kind, digest, len(data))
        self._documents[digest] = descriptor, data
        return descriptor

    def _document(self, descriptor: Descriptor) -> bytes:
        """Read a manifest or an index that another document names."""
        data = self._cache.document(descriptor.digest)
        if data is None:
            try:
                data = self._repository.manifest(descriptor.digest).data
            except NotThere as error:
                raise BlobMissing(f"looked for at {self._repository.where}", descriptor.urls) from error
        self._documents[descriptor.digest] = descriptor, data
        return data
