"""The seam between transports and the rest: what every place that holds images can do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol, runtime_checkable

from builder.errors import ImageRefused
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.manifest import Index, Manifest

# What a reference names: a document to open, or what that document would say where a transport has none.
Root = Descriptor | Manifest | Index


@runtime_checkable
class Arriving(Protocol):
    """What a blob that may keep its reader waiting, for a network, can do besides being read."""

    def stop(self) -> None:
        """Have a read that waits in another thread fail at once."""
        ...


class Source(Protocol):
    """One image reference, opened. A transport supplies these few methods; everything else is derived once.

    Nothing a source returns is trusted: whoever reads a blob checks its digest and size.
    """

    def root(self) -> Root:
        """Describe what the reference names: a manifest or an index, or its descriptor where it is a blob.

        Raises ImageNotFound when there is no such tag, and InvalidReference, listing the tags, when there are
        several and none was given.
        """
        ...

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """Open a blob for one sequential read; raises BlobMissing. The caller closes it."""
        ...

    def inputs(self) -> list[str]:
        """Name the local files that the image was read from so far, for make; empty for what make cannot watch."""
        ...

    def close(self) -> None:
        """Release what the source holds open."""
        ...


@runtime_checkable
class Named(Protocol):
    """What a source can do besides, where images have names of their own."""

    def names(self) -> list[str]:
        """Give the names of what the reference names, the fullest first: full names, or tags alone.

        The names are the image's words. Raises what `root` raises.
        """
        ...


@runtime_checkable
class Rebuilding(Protocol):
    """What a source can do besides, where an image is unpacked and has to be put together again."""

    def original(self, manifest: Descriptor) -> Digest | None:
        """Name the manifest that the image came with, in whose place this one was put together."""
        ...

    def is_rebuilt(self, layer: Descriptor) -> bool:
        """Say whether a layer's tar was made of unpacked files: it need not be the one that its diff_id promises."""
        ...


def original(source: Source, manifest: Descriptor) -> Digest:
    """Give the digest that an image's manifest came with."""
    return (source.original(manifest) if isinstance(source, Rebuilding) else None) or manifest.digest


def is_rebuilt(source: Source, layer: Descriptor) -> bool:
    """Say whether nothing vouches for a layer's tar but the files that it was made of."""
    return isinstance(source, Rebuilding) and source.is_rebuilt(layer)


# What a sigstore bundle is called as a manifest's artifact, and as the one layer of that.
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
# What cosign 2 calls a manifest of signatures that refers to the image, where it was told to have no tag for them.
ATTACHED = "application/vnd.dev.cosign.artifact.sig.v1+json"


@dataclass(frozen=True, slots=True)
class Beside:
    """A manifest that stands beside an image; `open` opens the blobs that it names, where it was found."""

    data: bytes
    open: Callable[[Descriptor], BinaryIO]


@runtime_checkable
class Signed(Protocol):
    """What a source can do besides, where signatures of images stand beside them."""

    def signatures(self, digest: Digest) -> Iterable[Beside | ImageRefused]:
        """Give the manifests that hold signatures of what has this digest, which `root` named; not verified.

        In place of one that is listed and cannot be had, it gives the reason.
        """
        ...


def signature_tag(digest: Digest) -> str:
    """Tell under which tag signatures of a digest are (cosign, "Signature Specification", "Tag-based Discovery")."""
    return f"{digest.algorithm}-{digest.hex}.sig"


@runtime_checkable
class Placed(Protocol):
    """What a source can do besides, where images have names and not paths: say where on this machine they are."""

    def readable(self) -> list[str]:
        """Name the directories from which it reads what it has not opened yet."""
        ...

    def changeable(self) -> list[str]:
        """Name the directories in which it keeps something."""
        ...


@runtime_checkable
class Fetching(Protocol):
    """What a source can do besides, where another process may fetch for it: bind that one to its image."""

    def fetched_apart(self) -> bool:
        """Say whether another process fetches it."""
        ...

    def stay(self) -> None:
        """Have the process that fetches open no other repository from now on."""
        ...

    def settle(self) -> None:
        """Have the process that fetches fetch nothing from now on but blobs that were opened before."""
        ...


@runtime_checkable
class Asking(Protocol):
    """What a source can do besides, where it takes a while to find out whether a blob is there."""

    def look_for(self, blobs: Sequence[Descriptor]) -> None:
        """Find out at once which of the blobs are there that will be opened next, up to the first that is not."""
        ...


def look_for(source: Source, blobs: Sequence[Descriptor]) -> None:
    """Tell a source which blobs will be opened next, if it wants to know; it is no failure if some are missing."""
    if isinstance(source, Asking):
        source.look_for(blobs)


@runtime_checkable
class Expecting(Protocol):
    """What a source can do besides, where blobs take time to come or might go away."""

    def expect(self, layers: Sequence[Descriptor]) -> None:
        """Begin to fetch, or hold, the blobs that will be read next, in this order."""
        ...


def expect(source: Source, layers: Sequence[Descriptor]) -> None:
    """Tell a source which blobs will be read next, in this order, if it wants to know."""
    if isinstance(source, Expecting):
        source.expect(layers)
