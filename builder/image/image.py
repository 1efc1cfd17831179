"""An image: a manifest and its config, and each layer with the diff_id that the config promises for it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from builder.errors import MalformedDocument
from builder.image.config import ImageConfig
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Layer:
    """Layer `index` (from 0, the bottom one) of `count`: its blob, and the digest of its uncompressed tar."""

    index: int
    count: int
    descriptor: Descriptor
    diff_id: Digest

    @property
    def name(self) -> str:
        """Its name in messages: `layer 2 of 3 (sha256:0123456789ab)`, with the start of its blob's digest."""
        digest = self.descriptor.digest
        return f"layer {self.index + 1} of {self.count} ({digest.algorithm}:{digest.hex[:12]})"


@dataclass(frozen=True, slots=True)
class Image:
    """An image at `reference`; `digest` is its manifest's, None where a transport has no such document.

    `manifest_size` is how many bytes the manifest of that digest has, where that is known; `attestations` are manifests
    of what is attested of it, by the index that led to it.
    """

    reference: str
    digest: Digest | None
    manifest: Manifest
    config: ImageConfig
    layers: tuple[Layer, ...]
    manifest_size: int | None = None
    attestations: tuple[Descriptor, ...] = ()

    @property
    def config_digest(self) -> Digest:
        """The digest of the config, which Docker calls the image's ID."""
        return self.manifest.config.digest

    @property
    def identity(self) -> bytes:
        """32 bytes that stand for the content of the root file system: sha256 of the diff_ids, one a line.

        The same for one image through any transport, and whatever compresses its layers; unlike the config's
        digest it does not change with labels, history and the like.
        """
        return hashlib.sha256("".join(f"{layer.diff_id}\n" for layer in self.layers).encode()).digest()


def pair(reference: str, digest: Digest | None, manifest: Manifest, config: ImageConfig) -> Image:
    """Make the image of a manifest and its config: the layers of one and the diff_ids of the other, in order.

    Raises MalformedDocument when there are not as many of the one as of the other.
    """
    count = len(manifest.layers)
    if len(config.diff_ids) != count:
        reason = f"has {len(config.diff_ids)} entries, but the manifest has {count} layers"
        raise MalformedDocument(f"{reference}: image config", "$.rootfs.diff_ids", reason)
    pairs = enumerate(zip(manifest.layers, config.diff_ids, strict=True))
    layers = tuple(Layer(index, count, descriptor, diff_id) for index, (descriptor, diff_id) in pairs)
    return Image(reference, digest, manifest, config, layers)
