"""`docker-archive:FILE`: what `docker save` writes (Docker image specification v1.2, "Combined Image JSON").

manifest.json names a config and layer files for each image. There is no manifest, so one is put together: each
layer's media type comes from its first bytes, and its digest is the config's diff_id, or the hash of its file where
that is compressed, as in archives that are OCI layouts at the same time.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import BinaryIO

from builder.archive.compression import detect
from builder.errors import (
    BlobMissing,
    ImageNotFound,
    InvalidReference,
    MalformedDocument,
    UnsupportedImage,
)
from builder.events import Notice
from builder.files.files import Files
from builder.image.config import parse_config
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.manifest import Manifest
from builder.image.media_types import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST
from builder.image.name import normalise, same_name
from builder.image.verifier import verify
from builder.sources.access import Access, Means
from builder.sources.docker_manifest import Saved, SavedImages, parse_saved_images
from builder.sources.documents import read_bounded
from builder.sources.image_files import open_archive
from builder.sources.source import Source
from builder.sources.transport import Layout, Reference, Transport
from builder.words import listed

_MANIFEST = "manifest.json"
_READ_SIZE = 1 << 20
# What `detect` needs to tell a compression.
_HEAD_SIZE = 512
_BLOB = re.compile(r"blobs/(sha256|sha512)/([0-9a-f]+)")
_CONFIG = re.compile(r"([0-9a-f]{64})\.json")


def open_docker_archive(reference: Reference, _access: Access, means: Means) -> Source:
    """Open what `docker save` wrote; a compressed file is unpacked once, into a nameless scratch file."""
    return DockerArchive(open_archive(reference, means), reference, means)


class DockerArchive:
    """One reference into a `docker save` archive; takes over `files` and closes them."""

    def __init__(self, files: Files, reference: Reference, means: Means) -> None:
        self._files = files
        self._reference = reference
        self._listen = means.listen
        self._images: SavedImages | None = None
        self._paths: dict[Digest, str] = {}

    def root(self) -> Manifest:
        """Put together the manifest of the image that the reference names; reads compressed layers once."""
        number, item = self._choose(self._read_images())
        config = self._read_config(item.config)
        diff_ids = parse_config(config, self._where(item.config)).diff_ids
        paths = item.layers or []
        if len(paths) != len(diff_ids):
            reason = f"has {len(paths)} entries, but the config has {len(diff_ids)} diff_ids"
            raise MalformedDocument(self._where(_MANIFEST), f"$[{number}].Layers", reason)
        described = Descriptor(OCI_CONFIG, Digest.of(config), len(config))
        self._paths[described.digest] = item.config
        layers = [self._describe_layer(path, diff_id) for path, diff_id in zip(paths, diff_ids, strict=True)]
        return Manifest(OCI_MANIFEST, described, tuple(layers))

    def names(self) -> list[str]:
        """Give the name that was asked for, or else all names of the image, in full."""
        if self._reference.tag is not None:
            return [normalise(self._reference.tag)]
        _, item = self._choose(self._read_images())
        return [normalise(tag) for tag in item.repo_tags or ()]

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """Open the config or a layer that `root` described; raises BlobMissing."""
        path = self._paths.get(descriptor.digest)
        file = None if path is None else self._files.open(path)
        if file is None:
            raise BlobMissing(f"looked for in {self._files.place}", descriptor.urls)
        return file

    def inputs(self) -> list[str]:
        """Name the files that were read so far."""
        return self._files.inputs()

    def close(self) -> None:
        """Close the place of the archive."""
        self._files.close()

    def _where(self, path: str) -> str:
        return f"{self._files.place}/{path}"

    def _read_images(self) -> SavedImages:
        if self._images is not None:
            return self._images
        name = self._where(_MANIFEST)
        file = self._files.open(_MANIFEST)
        if file is None:
            if self._files.size("repositories") is not None:
                reason = "was saved by a Docker older than 1.10; load it into a newer one and save it again"
                raise UnsupportedImage(self._files.place, reason)
            reason = f"it has no {_MANIFEST}, so docker save did not write it; check it, or write the path alone"
            raise ImageNotFound(self._files.place, reason)
        data = read_bounded(file, name)
        if data.lstrip().startswith(b"{"):
            reason = f"its {_MANIFEST} is one image's, so this is skopeo's dir:; write the path alone"
            raise ImageNotFound(self._files.place, reason)
        self._images = parse_saved_images(data, name)
        if unreadable := self._images.unreadable:
            count, verb = ("1 image", "is") if len(unreadable) == 1 else (f"{len(unreadable)} images", "are")
            first = next(iter(unreadable.values()))
            self._listen(Notice(f"{name}: {count} that cannot be read {verb} passed over: {first.path} {first.reason}"))
        return self._images

    def _choose(self, saved: SavedImages) -> tuple[int, Saved]:
        reference = self._reference
        if reference.digest is not None:
            raise InvalidReference(reference.text, "docker save keeps no manifest digests; choose by NAME:TAG or :@0")
        found = list(saved.images.items())
        if reference.position is not None:
            if reference.position in saved.unreadable:
                raise saved.unreadable[reference.position]
            found = [(position, image) for position, image in found if position == reference.position]
        elif reference.tag is not None:
            wanted = reference.tag
            found = [(i, image) for i, image in found if any(same_name(tag, wanted) for tag in image.repo_tags or ())]
        if not found and reference.position is None and saved.unreadable:
            # What it is called cannot be told, so it may be the one.
            raise next(iter(saved.unreadable.values()))
        if not saved.images and not saved.unreadable:
            raise ImageNotFound(reference.text, f"its {_MANIFEST} lists no image; save the image again")
        if not found:
            raise ImageNotFound(reference.text, f"there is no such image; {_offer(saved.images.values())}")
        if len(found) > 1:
            raise InvalidReference(reference.text, f"names several images; {_offer(saved.images.values())}")
        return found[0]

    def _read_config(self, path: str) -> bytes:
        name = self._where(path)
        file = self._files.open(path)
        if file is None:
            raise BlobMissing(f"image config {name}")
        data = read_bounded(file, name)
        if stated := _stated_digest(path):
            verify(data, stated, f"image config {name}")
        # As Docker and skopeo have it: a name promises nothing, and the config says what the layers are.
        elif (named := _CONFIG.fullmatch(path)) and named[1] != (actual := Digest.of(data)).hex:
            self._listen(Notice(f"image config {name} has the digest {actual}, not that of its name"))
        return data

    def _describe_layer(self, path: str, diff_id: Digest) -> Descriptor:
        file, size = self._files.open(path), self._files.size(path)
        if file is None or size is None:
            raise BlobMissing(f"layer file {self._where(path)}")
        with file:
            head = file.read(_HEAD_SIZE)
            compression = detect(head)
            if compression == "none":
                media_type, digest = OCI_LAYER, diff_id
            else:
                media_type = f"{OCI_LAYER}+{compression}"
                digest = _stated_digest(path) or _hash(head, file)
        self._paths.setdefault(digest, path)
        return Descriptor(media_type, digest, size)


def _stated_digest(path: str) -> Digest | None:
    """Read the digest that a file's name states, where it is one of an image layout."""
    blob = _BLOB.fullmatch(path)
    return Digest(blob[1], blob[2]) if blob else None


def _hash(head: bytes, rest: BinaryIO) -> Digest:
    hasher = hashlib.sha256(head)
    while chunk := rest.read(_READ_SIZE):
        hasher.update(chunk)
    return Digest("sha256", hasher.hexdigest())


def _offer(images: Iterable[Saved]) -> str:
    """Say what could be asked for instead."""
    tags = [tag for image in images for tag in image.repo_tags or ()]
    named = f"choose one of these: {listed(tags)}" if tags else "none has a name"
    return f"{named}; or choose by position, from :@0 on"


def is_docker_archive(files: Files) -> bool:
    """Say whether `docker save` may have written this, now or before 2016."""
    return files.size(_MANIFEST) is not None or files.size("repositories") is not None


DOCKER_ARCHIVE = Transport(
    "docker-archive",
    ("docker-archive:FILE[:NAME:TAG]",),
    "what `docker save` writes",
    open_docker_archive,
    Layout("manifest.json (what docker save writes)", is_docker_archive, DockerArchive),
)
