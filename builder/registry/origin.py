"""What is asked of a repository that an image comes from, whoever asks it: this process, or one that fetches for it."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from builder.image.descriptor import Descriptor
from builder.image.digest import Digest


@dataclass(frozen=True, slots=True)
class Document:
    """A manifest or index as the registry sent it, its digest computed here; `media_type` is None if unsaid.

    `mark` is what the registry calls this version of it, if it does (ETag).
    """

    data: bytes
    digest: Digest
    media_type: str | None
    mark: str | None = None


class Transfer(Protocol):
    """One blob on its way, read by one thread; another may stop it."""

    def chunks(self, position: int) -> Generator[bytes, None, None]:
        """Yield the content from `position` on, in bytes; raises what a registry does, and Stopped."""
        ...

    def stop(self) -> None:
        """Have the reading thread get Stopped."""
        ...


class Origin(Protocol):
    """One repository; `where` names it. Every method may raise SourceUnreadable and AccessDenied.

    What it says is a registry's word: documents have the digest that was asked for, blobs are anything.
    """

    @property
    def where(self) -> str:
        """Name the registry and the repository."""
        ...

    def manifest(self, reference: str | Digest) -> Document:
        """Fetch the manifest or index of a tag or a digest; raises NotThere, DigestMismatch, UnsupportedImage."""
        ...

    def tag_hint(self, tag: str) -> tuple[Digest, int] | None:
        """Ask what a tag means now: digest and size; None where the registry does not say both."""
        ...

    def tags(self, count: int) -> list[str]:
        """Name some tags, for a message."""
        ...

    def referrers(self, subject: Digest, artifact_type: str) -> Iterable[Descriptor]:
        """Name what refers to a manifest and may be of that type; nothing of it is verified."""
        ...

    def has_blob(self, digest: Digest) -> bool:
        """Say whether a blob is there."""
        ...

    def which_blobs(self, digests: Sequence[Digest]) -> set[Digest]:
        """Say which blobs are there, up to the first that is not: whatever would be said of those behind it."""
        ...

    def download(self, descriptor: Descriptor) -> Transfer:
        """Prepare the transfer of a blob."""
        ...

    def stop(self) -> None:
        """End all waits of other threads."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...
