"""Manifests and indexes, OCI's and Docker's.

OCI image-spec, manifest.md and image-index.md; Docker "Image Manifest Version 2, Schema 2", of which the
manifest list is an index by another name. Docker's and OCI's documents differ in nothing but media types.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import msgspec

from builder.errors import MalformedDocument, UnsupportedImage
from builder.image.descriptor import (
    Descriptor,
    DescriptorFields,
    EntryFields,
    PlatformFields,
    read_descriptor,
    read_platform,
)
from builder.image.document import read_document
from builder.image.media_types import (
    DISK_ARTIFACT,
    DOCKER_CONFIG,
    DOCKER_MANIFEST,
    IMAGE_CONFIGS,
    INDEXES,
    MANIFESTS,
    OCI_INDEX,
    OCI_MANIFEST,
    OLD_DOCKER_CONFIGS,
    SCHEMA_1,
    layer_compression,
)
from builder.image.platform import Platform
from builder.image.shape import LENIENT, Remarks, convert_document, convert_part
from builder.words import quoted

# Of an index. So many do not fit into a document if they are real ones, with a digest each; of what is none, a document
# could hold millions, and each would be kept with what is wrong with it.
_MOST_ENTRIES = 1 << 15


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image: its config and its layers, bottom layer first, all of media types that can be unpacked.

    `remarks` are sentences about what the document says and this does not.
    """

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    remarks: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class UnreadableEntry:
    """An entry of an index that cannot be chosen: `error` says why, `position` is its place, from 0.

    `platform` and `annotations` are what it says of itself, as far as that can be read.
    """

    position: int
    error: MalformedDocument
    platform: Platform | None
    annotations: Mapping[str, str] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Index:
    """Several images, or indexes again, in their order; see choose.py for which is for whom.

    What stands among them and cannot be read is `unreadable`: it spoils no other.
    """

    media_type: str
    manifests: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    unreadable: tuple[UnreadableEntry, ...] = ()
    remarks: tuple[str, ...] = field(default=(), compare=False)


class _Head(msgspec.Struct, rename="camel"):
    schema_version: int
    media_type: str | None = None
    artifact_type: str | None = None


class _ConfigFields(DescriptorFields, rename="camel", kw_only=True):
    # Old Docker left it out, or empty.
    media_type: str = ""


class _ManifestBody(msgspec.Struct):
    config: _ConfigFields
    # Go writes null for an empty list, and old Docker left it out.
    layers: list[DescriptorFields] | None = None
    annotations: Annotated[dict[str, str] | None, LENIENT] = None


class _IndexBody(msgspec.Struct):
    manifests: list[Any] | None = None
    annotations: Annotated[dict[str, str] | None, LENIENT] = None


class _Stated(msgspec.Struct):
    """What an entry says of itself, however odd the rest of it is."""

    platform: Annotated[PlatformFields | None, LENIENT] = None
    annotations: Annotated[dict[str, str] | None, LENIENT] = None


# The fields that say what a document is, each with the kind that has it.
_KINDS = {
    "manifests": "an index",
    "config": "a manifest",
    "layers": "a manifest",
    "fsLayers": "a schema 1 manifest",
}


def parse_document(data: bytes, expected_media_type: str | None, name: str) -> Manifest | Index:
    """Parse a manifest or an index that was reached by a descriptor (or answer) of `expected_media_type`.

    `name` says in errors which document it is. Raises MalformedDocument for what breaks its specification,
    for a document that could be read as either (CVE-2021-41190) and for a media type that contradicts the
    content or the descriptor, and UnsupportedImage for what no root file system can come from: schema 1,
    artifacts, encrypted layers, layers that are no tar.
    """
    document = read_document(data, name)
    folded = {key.casefold(): value for key, value in document.items()}
    kinds = {kind: key for key, kind in _KINDS.items() if key.casefold() in folded}
    if len(kinds) > 1:
        keys = " and ".join(f"`{key}`" for key in kinds.values())
        raise MalformedDocument(name, "$", f"is ambiguous: it is {' and '.join(kinds)} at once, with {keys}")
    if _is_schema_1(folded, expected_media_type):
        raise UnsupportedImage(
            name, "is a Docker schema 1 manifest; convert the image first, as with skopeo copy --format oci"
        )
    # Before its fields: what is no manifest at all, such as a config that an index names, need have none of them.
    _check_known(expected_media_type, name)
    remarks = Remarks()
    head = convert_document(document, _Head, name, remarks)
    if head.schema_version != 2:
        raise MalformedDocument(name, "$.schemaVersion", f"is {head.schema_version}, only 2 is known")
    kind = next(iter(kinds), None)
    media_type = _media_type(head.media_type or None, expected_media_type, kind, name)
    if media_type in INDEXES:
        return _read_index(document, media_type, name, remarks)
    return _read_manifest(document, media_type, head.artifact_type, name, remarks)


def _is_schema_1(document: dict[str, Any], expected: str | None) -> bool:
    version, media_type = document.get("schemaversion"), document.get("mediatype")
    if isinstance(media_type, str) and media_type in SCHEMA_1:
        return True
    return (version == 1 and version is not True) or "fslayers" in document or expected in SCHEMA_1


def _check_known(media_type: str | None, name: str) -> None:
    if media_type and media_type not in MANIFESTS | INDEXES:
        raise UnsupportedImage(name, f"media type {quoted(media_type, 200)} is no image manifest's and no index's")


def _media_type(stated: str | None, expected: str | None, kind: str | None, name: str) -> str:
    """Decide what the document is: its field, its descriptor and its shape must all say the same."""
    _check_known(stated, name)
    if stated and expected and stated != expected:
        reason = f"is {quoted(stated, 200)}, but its descriptor says {quoted(expected, 200)}"
        raise MalformedDocument(name, "$.mediaType", reason)
    media_type = stated or expected
    if media_type is None:
        if kind is None:
            raise MalformedDocument(name, "$", "has none of `manifests`, `config` and `layers`")
        # The field is optional for OCI only: Docker's documents always say what they are.
        return OCI_INDEX if kind == "an index" else OCI_MANIFEST
    claimed = "an index" if media_type in INDEXES else "a manifest"
    if kind is not None and kind != claimed:
        path, who = ("$.mediaType", "it") if stated else ("$", "its descriptor")
        raise MalformedDocument(name, path, f"{who} says that this is {claimed}, but the content is {kind}")
    return media_type


def _read_index(document: dict[str, Any], media_type: str, name: str, remarks: Remarks) -> Index:
    body = convert_document(document, _IndexBody, name, remarks)
    if len(body.manifests or ()) > _MOST_ENTRIES:
        raise MalformedDocument(name, "$.manifests", f"has more than {_MOST_ENTRIES} entries, which are refused")
    entries: list[Descriptor] = []
    unreadable: list[UnreadableEntry] = []
    for position, item in enumerate(body.manifests or ()):
        path = f"$.manifests[{position}]"
        try:
            entries.append(read_descriptor(convert_part(item, EntryFields, name, path, remarks), name, path))
        except MalformedDocument as error:
            unreadable.append(_read_stated(item, position, error))
    texts = remarks.texts()
    if unreadable:
        count, verb = ("1 entry", "is") if len(unreadable) == 1 else (f"{len(unreadable)} entries", "are")
        first = unreadable[0].error
        texts += (f"{count} that cannot be read {verb} passed over: {first.path} {first.reason}",)
    return Index(media_type, tuple(entries), body.annotations or {}, tuple(unreadable), texts)


def _read_stated(item: Any, position: int, error: MalformedDocument) -> UnreadableEntry:
    try:
        stated = convert_part(item, _Stated, "", "$", Remarks())
    except MalformedDocument:
        stated = _Stated()
    platform = read_platform(stated.platform) if stated.platform else None
    return UnreadableEntry(position, error, platform, stated.annotations or {})


def _read_manifest(
    document: dict[str, Any], media_type: str, artifact_type: str | None, name: str, remarks: Remarks
) -> Manifest:
    if artifact_type and "config" not in (key.casefold() for key in document):
        raise _artifact(name, artifact_type, "")
    body = convert_document(document, _ManifestBody, name, remarks)
    config = read_descriptor(body.config, name, "$.config")
    if media_type == DOCKER_MANIFEST and config.media_type in OLD_DOCKER_CONFIGS:
        config = replace(config, media_type=DOCKER_CONFIG)
    if not config.media_type and not artifact_type:
        raise MalformedDocument(name, "$.config.mediaType", "is missing")
    if config.media_type not in IMAGE_CONFIGS:
        raise _artifact(name, artifact_type, config.media_type)
    layers = [read_descriptor(item, name, f"$.layers[{i}]") for i, item in enumerate(body.layers or ())]
    for i, layer in enumerate(layers):
        layer_compression(layer.media_type, f"{name} at $.layers[{i}].mediaType")
    return Manifest(media_type, config, tuple(layers), body.annotations or {}, remarks.texts())


def _artifact(name: str, artifact_type: str | None, config_type: str) -> UnsupportedImage:
    if artifact_type == DISK_ARTIFACT:
        return UnsupportedImage(name, "is a disk, not an image: rootfs-builder pull writes it to a file")
    if artifact_type:
        return UnsupportedImage(name, f"is an artifact of type {quoted(artifact_type, 200)}, not an image")
    what = f"its config is of media type {quoted(config_type, 200)}"
    return UnsupportedImage(name, f"is an artifact, not an image: {what}")
