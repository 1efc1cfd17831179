"""The layers of an image in an OCI layout, as far as a bench needs to know."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Blob:
    """A layer's blob: its file, media type, digest and size in bytes, and the digest of its plain tar."""

    path: Path
    media_type: str
    digest: str
    size: int
    diff_id: str


def split(reference: str) -> tuple[Path, str]:
    """Split `oci:DIR:TAG` into directory and tag. Raises ValueError."""
    transport, _, rest = reference.partition(":")
    directory, _, tag = rest.rpartition(":")
    if transport != "oci" or not directory or not tag:
        raise ValueError(f"{reference!r} is not oci:DIR:TAG")
    return Path(directory), tag


def blobs(reference: str) -> list[Blob]:
    """List the layers of the image at `oci:DIR:TAG`, bottom first. Raises ValueError, OSError."""
    directory, tag = split(reference)

    def document(descriptor: dict[str, Any]) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(where(descriptor["digest"]).read_bytes())
        return loaded

    def where(digest: str) -> Path:
        return directory / "blobs" / digest.replace(":", "/")

    index = json.loads((directory / "index.json").read_bytes())
    for descriptor in index["manifests"]:
        if descriptor.get("annotations", {}).get("org.opencontainers.image.ref.name") == tag:
            manifest = document(descriptor)
            diff_ids = document(manifest["config"])["rootfs"]["diff_ids"]
            return [
                Blob(where(each["digest"]), each["mediaType"], each["digest"], each["size"], diff_id)
                for each, diff_id in zip(manifest["layers"], diff_ids, strict=True)
            ]
    raise ValueError(f"there is no tag {tag!r} in {directory}")
