"""`dir:DIR`: what `skopeo copy … dir:DIR` and `podman save --format docker-dir` write (containers-transports(5)).

manifest.json is the image's own manifest or index, byte for byte; each blob is a file named by the hex of its digest.
Of an index, the images that were copied have their manifests in HEX.manifest.json.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import BinaryIO

from builder.errors import BlobMissing, ImageNotFound, InvalidReference
from builder.files.files import Files
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.manifest import parse_document
from builder.image.media_types import INDEXES, MANIFESTS
from builder.sources.access import Access, Means
from builder.sources.documents import read_bounded
from builder.sources.image_files import open_directory
from builder.sources.source import Source
from builder.sources.transport import Layout, Reference, Transport

_MANIFEST = "manifest.json"
# What `matches` looks into: JSON may begin with any amount of space, but nobody's does with more.
_HEAD_SIZE = 512


def open_dir(reference: Reference, _access: Access, means: Means) -> Source:
    """Open the image in a directory, or in what a PyFilesystem URL names; raises InvalidReference for a tag."""
    return DirImage(open_directory(reference, means), reference, means)


def is_dir(files: Files) -> bool:
    """Say whether manifest.json is one image's manifest: what `docker save` writes under that name is a list."""
    file = files.open(_MANIFEST)
    if file is None:
        return False
    with closing(file):
        return file.read(_HEAD_SIZE).lstrip().startswith(b"{")


class DirImage:
    """The image of one directory; takes over `files` and closes them."""

    def __init__(self, files: Files, reference: Reference, _means: Means) -> None:
        self._files = files
        self._reference = reference
        self._manifest: Descriptor | None = None

    def root(self) -> Descriptor:
        """Describe manifest.json, or the document of the digest that the reference names."""
        reference = self._reference
        if reference.tag is not None or reference.position is not None:
            raise InvalidReference(reference.text, "the directory holds one image, without a tag; leave the tag out")
        manifest = self._describe(_MANIFEST)
        if manifest is None:
            reason = f"it has no {_MANIFEST}, so skopeo did not write it; for a layout write oci:DIR"
            raise ImageNotFound(self._files.place, reason)
        self._manifest = manifest
        if reference.digest in (None, manifest.digest):
            return manifest
        chosen = self._describe(f"{reference.digest.hex}.{_MANIFEST}", reference.digest)
        if chosen is None:
            raise ImageNotFound(reference.text, f"{self._files.place} holds no manifest of that digest")
        return chosen

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """Open a document or a blob by its digest; raises BlobMissing."""
        for path in self._paths(descriptor):
            file = self._files.open(path)
            if file is not None:
                return file
        raise BlobMissing(f"looked for at {self._files.place}/{descriptor.digest.hex}", descriptor.urls)

    def inputs(self) -> list[str]:
        """Name the files that were read so far."""
        return self._files.inputs()

    def close(self) -> None:
        """Close the directory."""
        self._files.close()

    def _describe(self, path: str, digest: Digest | None = None) -> Descriptor | None:
        file = self._files.open(path)
        if file is None:
            return None
        name = f"{self._files.place}/{path}"
        data = read_bounded(file, name)
        if data.lstrip().startswith(b"["):
            reason = f"its {_MANIFEST} is a list, so docker save wrote this; write the path alone"
            raise ImageNotFound(self._files.place, reason)
        return Descriptor(parse_document(data, None, name).media_type, digest or Digest.of(data), len(data))

    def _paths(self, descriptor: Descriptor) -> Iterator[str]:
        digest = descriptor.digest
        if self._manifest is not None and digest == self._manifest.digest:
            yield _MANIFEST
        elif descriptor.media_type in MANIFESTS | INDEXES:
            yield f"{digest.hex}.{_MANIFEST}"
        else:
            yield digest.hex
            # Version 1.0 of the format, and what later ones call digests that are not sha256.
            yield f"{digest.hex}.tar"
            yield f"{digest.algorithm}-{digest.hex}"


DIR = Transport(
    "dir",
    ("dir:DIR",),
    "what `skopeo copy … dir:` writes",
    open_dir,
    Layout("manifest.json with one image's manifest (what skopeo calls dir:)", is_dir, DirImage),
)
