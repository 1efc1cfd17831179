"""`oci:DIR`: an OCI image layout (image-spec, image-layout.md), in whatever place its files are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO

import msgspec

from builder.errors import BlobMissing, BuilderError, ImageNotFound, ImageRefused, InvalidReference, MalformedDocument
from builder.files.files import Files
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.document import read_document
from builder.image.manifest import Index, UnreadableEntry, parse_document
from builder.image.media_types import OCI_EMPTY, OCI_INDEX
from builder.image.name import same_name
from builder.image.shape import convert_document
from builder.sources.access import Access, Means
from builder.sources.documents import read_bounded, read_verified
from builder.sources.image_files import open_directory
from builder.sources.resolve import say_remarks
from builder.sources.source import ATTACHED, BUNDLE, Beside, Root, Source, signature_tag
from builder.sources.transport import Layout, Reference, Transport
from builder.words import listed, quoted

REF_NAME = "org.opencontainers.image.ref.name"
# containerd and Docker put only the tag into ref.name, and the full name here.
CONTAINERD_NAME = "io.containerd.image.name"

# How cosign marks signatures in a layout that it saves, and what else it has beside an image.
COSIGN_SAVED = "dev.cosignproject.cosign/sigs"
_BESIDE = (COSIGN_SAVED, "dev.cosignproject.cosign/atts")
# The last is what some list a bundle as, by the type of its config.
_SIGNATURES = (BUNDLE, ATTACHED, OCI_EMPTY)


class _Marker(msgspec.Struct, rename="camel"):
    image_layout_version: str


class _Subject(msgspec.Struct):
    digest: str


class _Referrer(msgspec.Struct):
    subject: _Subject | None = None


def open_oci(reference: Reference, _access: Access, means: Means) -> Source:
    """Open the layout in a directory, or in what a PyFilesystem URL names."""
    return OciLayout(open_directory(reference, means), reference, means)


class OciLayout:
    """One reference into an image layout; takes over `files` and closes them."""

    def __init__(self, files: Files, reference: Reference, means: Means) -> None:
        self._files = files
        self._reference = reference
        self._listen = means.listen
        self._shared = means.shared
        self._index: Index | None = None

    def root(self) -> Root:
        """Describe what the reference names among the entries of index.json."""
        index = self._read_index()
        if self._reference.digest is not None:
            return self._by_digest(index.manifests, self._reference.digest)
        if self._reference.position is not None:
            return self._by_position(index, self._reference.position)
        if self._reference.tag is not None:
            return self._only(self._by_tag(index, self._reference.tag))
        if not index.manifests and index.unreadable:
            raise index.unreadable[0].error
        # What stands beside an image is none to choose from.
        return self._only(tuple(each for each in index.manifests if not _is_beside(each)) or index.manifests)

    def names(self) -> list[str]:
        """Give what index.json calls the image: a full name, a tag, or both."""
        root = self.root()
        entries = root.manifests if isinstance(root, Index) else self._read_index().manifests
        digests = {root.digest} if isinstance(root, Descriptor) else {entry.digest for entry in entries}
        named = [_names(entry) for entry in entries if entry.digest in digests]
        if self._reference.tag is not None:
            # An image may have several tags; the one that was asked for is its name here.
            named = [names for names in named if self._reference.tag in names] or named
        return list(dict.fromkeys(name for names in named for name in names))

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """Open a blob by its digest; raises BlobMissing."""
        path = blob_path(descriptor.digest)
        file = self._files.open(path)
        if file is None:
            raise BlobMissing(f"looked for at {self._files.place}/{path}", descriptor.urls)
        return file

    def signatures(self, digest: Digest) -> Iterator[Beside | ImageRefused]:
        """Give the manifests with the tag of its signatures, or `cosign save`'s mark, and those that refer to it."""
        tag = signature_tag(digest)
        seen: set[tuple[Digest, bool]] = set()
        for entry in self._read_index().manifests:
            named = tag in _names(entry) or entry.annotations.get("kind") == COSIGN_SAVED
            if (entry.digest, named) in seen or (not named and entry.artifact_type not in _SIGNATURES):
                continue
            seen.add((entry.digest, named))
            what = f"{self._files.place}/{blob_path(entry.digest)}"
            try:
                data = read_verified(self.open(entry), entry, what)
                # A layout may have hundreds of images, each with its own: not all are looked at.
                if named or _refers_to(data, digest, what):
                    yield Beside(data, self.open)
            except ImageRefused as error:
                yield error

    def inputs(self) -> list[str]:
        """Name the files that were read so far."""
        return self._files.inputs()

    def close(self) -> None:
        """Close the place of the layout."""
        self._files.close()

    def _check_marker(self) -> None:
        name = f"{self._files.place}/oci-layout"
        file = self._files.open("oci-layout")
        if file is None:
            reason = "it has no oci-layout file, so it is no OCI image layout; check it, or write the path alone"
            raise ImageNotFound(self._files.place, reason)
        marker = convert_document(read_document(read_bounded(file, name), name), _Marker, name)
        if not marker.image_layout_version.startswith("1."):
            reason = f"is {quoted(marker.image_layout_version, 200)}; versions 1.x are understood"
            raise MalformedDocument(name, "$.imageLayoutVersion", reason)

    def _read_index(self) -> Index:
        if self._index is None:
            key = ("index.json", self._files.place)
            self._index = self._shared.document(key, self._parse_index) if self._shared else self._parse_index()
        return self._index

    def _parse_index(self) -> Index:
        self._check_marker()
        name = f"{self._files.place}/index.json"
        file = self._files.open("index.json")
        if file is None:
            raise ImageNotFound(self._files.place, "its index.json is missing; export the image again")
        index = parse_document(read_bounded(file, name), None, name)
        if not isinstance(index, Index):
            raise MalformedDocument(name, "$", "is a manifest where an index must be")
        say_remarks(index.remarks, name, self._listen)
        return index

    def _by_digest(self, entries: Iterable[Descriptor], digest: Digest) -> Descriptor:
        for entry in entries:
            if entry.digest == digest:
                return entry
        # A manifest inside an index has no entry, but its blob is as good: its digest was asked for.
        path = blob_path(digest)
        file = self._files.open(path)
        if file is None:
            raise ImageNotFound(self._reference.text, f"there is no {self._files.place}/{path}")
        name = f"{self._files.place}/{path}"
        data = read_bounded(file, name)
        try:
            return Descriptor(parse_document(data, None, name).media_type, digest, len(data))
        except MalformedDocument as error:
            # Such as the config's, which is what Docker and podman call an image's ID.
            reason = f"{error.reason}; the digest must be that of a manifest or an index"
            raise MalformedDocument(name, error.path, reason) from error

    def _by_position(self, index: Index, position: int) -> Descriptor:
        count = len(index.manifests) + len(index.unreadable)
        if position >= count:
            raise ImageNotFound(self._reference.text, f"index.json has {count} entries, counted from 0")
        for entry in index.unreadable:
            if entry.position == position:
                raise entry.error
        return index.manifests[position - sum(entry.position < position for entry in index.unreadable)]

    def _by_tag(self, index: Index, tag: str) -> tuple[Descriptor, ...]:
        entries = index.manifests
        exact = tuple(entry for entry in entries if tag in _names(entry))
        found = exact or tuple(entry for entry in entries if same_name(entry.annotations.get(CONTAINERD_NAME), tag))
        if not found:
            for entry in index.unreadable:
                if tag in _names(entry):
                    raise entry.error
            raise ImageNotFound(self._reference.text, f"there is no such tag; {_offer(entries)}")
        return found

    def _only(self, entries: tuple[Descriptor, ...]) -> Root:
        """Take the one image that `entries` are: one entry, or one for each of its platforms."""
        if not entries:
            raise ImageNotFound(self._reference.text, "the layout holds no image")
        if len({entry.digest for entry in entries}) == 1:
            return entries[0]
        images = {_names(entry)[:1] for entry in entries}
        if len(images) > 1:
            raise InvalidReference(self._reference.text, f"names several images; {_offer(entries)}")
        if sum(entry.platform is None for entry in entries) > 1:
            digests = listed(str(entry.digest) for entry in entries)
            reason = f"names several images that do not say their platform; choose one with @DIGEST: {digests}"
            raise InvalidReference(self._reference.text, reason)
        return Index(OCI_INDEX, entries)


def blob_path(digest: Digest) -> str:
    """Say where a layout keeps a blob (image-layout.md, "Blobs")."""
    return f"blobs/{digest.algorithm}/{digest.hex}"


def _is_beside(entry: Descriptor) -> bool:
    """Say whether an entry may be a signature, or is what cosign saves with an image: no image, in any case."""
    return entry.artifact_type in _SIGNATURES or entry.annotations.get("kind") in _BESIDE


def _names(entry: Descriptor | UnreadableEntry) -> tuple[str, ...]:
    """Name an entry, the fullest name first; an entry need not have one."""
    names = (entry.annotations.get(CONTAINERD_NAME), entry.annotations.get(REF_NAME))
    return tuple(name for name in names if name)


def _offer(entries: Iterable[Descriptor]) -> str:
    """Say what could be asked for instead."""
    names = dict.fromkeys(name for entry in entries for name in _names(entry)[:1])
    tags = f"choose one of these tags: {listed(names)}" if names else "none has a tag"
    return f"{tags}; or choose by position, from :@0 on"


def is_layout(files: Files) -> bool:
    """Say whether an image layout's two files are there, and lead to an image if there is another way to one.

    Of an image without a name, Docker 25 saves an index that lists nothing: it is in manifest.json alone.
    """
    if files.size("oci-layout") is None or files.size("index.json") is None:
        return False
    return files.size("manifest.json") is None or not _lists_nothing(files)


def _lists_nothing(files: Files) -> bool:
    file = files.open("index.json")
    if file is None:
        return False
    try:
        index = parse_document(read_bounded(file, "index.json"), None, "index.json")
    except BuilderError:
        # Said when it is opened.
        return False
    return isinstance(index, Index) and not index.manifests and not index.unreadable


def _refers_to(manifest: bytes, digest: Digest, name: str) -> bool:
    subject = convert_document(read_document(manifest, name), _Referrer, name).subject
    return subject is not None and subject.digest == str(digest)


OCI = Transport(
    "oci",
    ("oci:DIR[:TAG]", "oci:DIR@DIGEST"),
    "OCI image layout",
    open_oci,
    Layout("oci-layout with index.json (an OCI image layout)", is_layout, OciLayout),
)
