"""A repository that this very process talks to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile

from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.registry.download import Download
from builder.registry.origin import Document
from builder.registry.repository import Repository


class DirectOrigin:
    """What `repository` says; takes it over (see Origin)."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    @property
    def where(self) -> str:
        """Name the registry and the repository."""
        return self._repository.where

    def manifest(self, reference: str | Digest) -> Document:
        """Fetch the manifest or index of a tag or a digest."""
        return self._repository.manifest(reference)

    def tag_hint(self, tag: str) -> tuple[Digest, int] | None:
        """Ask what a tag means now."""
        return self._repository.tag_hint(tag)

    def tags(self, count: int) -> list[str]:
        """Name some tags."""
        return self._repository.tags(count)

    def referrers(self, subject: Digest, artifact_type: str) -> Iterator[Descriptor]:
        """Name what refers to a manifest and may be of that type."""
        # Here, because only images that must be signed want it.
        from builder.registry.referrers import referrers

        return referrers(self._repository, subject, artifact_type)

    def has_blob(self, digest: Digest) -> bool:
        """Say whether a blob is there."""
        return self._repository.has_blob(digest)

    def which_blobs(self, digests: Sequence[Digest]) -> set[Digest]:
        """Say which blobs are there, up to the first that is not."""
        return set(takewhile(self.has_blob, digests))

    def download(self, descriptor: Descriptor) -> Download:
        """Prepare the transfer of a blob."""
        return Download(self._repository, descriptor)

    def stop(self) -> None:
        """End all waits of other threads."""
        self._repository.stop.set()

    def close(self) -> None:
        """Close the connections."""
        self._repository.close()
