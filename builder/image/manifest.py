"""Manifests and indexes, OCI's and Docker's.

OCI image-spec, manifest.md and image-index.md; Docker "Image Manifest Version 2, Schema 2", of which the
manifest list is an index by another name. Docker's and OCI's documents differ in nothing but media types.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from builder.errors import MalformedDocument, UnsupportedImage
from builder.image.descriptor import Descriptor, DescriptorFields, read_descriptor
from builder.image.document import convert_document, read_document, refuse_lookalikes, shown
from builder.image.media_types import (
    IMAGE_CONFIGS,
    INDEXES,
    MANIFESTS,
    OCI_INDEX,
    OCI_MANIFEST,
    SCHEMA_1,
    layer_compression,
)


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image: its config and its layers, bottom layer first, all of media types that can be unpacked."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Index:
    """Several images, or indexes again, in their order; see choose.py for which is for whom."""

    media_type: str
    manifests: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)


class _Head(msgspec.Struct, rename="camel"):
    schema_version: int
    media_type: str | None = None
    artifact_type: str | None = None


class _ManifestBody(msgspec.Struct):
    config: DescriptorFields
    layers: list[DescriptorFields]
    annotations: dict[str, str] | None = None


class _IndexBody(msgspec.Struct):
    manifests: list[DescriptorFields]
    annotations: dict[str, str] | None = None


# The fields that say what a document is, each with the kind that has it.
_KINDS = {
    "manifests": "an index",
    "config": "a manifest",
    "layers": "a manifest",
    "fsLayers": "a schema 1 manifest",
}
_TOP_LEVEL = ("schemaVersion", "mediaType", "artifactType", "annotations", *_KINDS)


def parse_document(data: bytes, expected_media_type: str | None, name: str) -> Manifest | Index:
    """Parse a manifest or an index that was reached by a descriptor (or answer) of `expected_media_type`.

    `name` says in errors which document it is. Raises MalformedDocument for what breaks its specification,
    for a document that could be read as either (CVE-2021-41190) and for a media type that contradicts the
    content or the descriptor, and UnsupportedImage for what no root file system can come from: schema 1,
    artifacts, encrypted layers, layers that are no tar.
    """
    document = read_document(data, name)
    refuse_lookalikes(document, _TOP_LEVEL, "$", name)
    kinds = {kind: key for key, kind in _KINDS.items() if key in document}
    if len(kinds) > 1:
        keys = " and ".join(f"`{key}`" for key in kinds.values())
        raise MalformedDocument(name, "$", f"is ambiguous: it is {' and '.join(kinds)} at once, with {keys}")
    if _is_schema_1(document, expected_media_type):
        raise UnsupportedImage(
            name, "is a Docker schema 1 manifest; convert the image first, as with skopeo copy --format oci"
        )
    head = convert_document(document, _Head, name)
    if head.schema_version != 2:
        raise MalformedDocument(name, "$.schemaVersion", f"is {head.schema_version}, only 2 is known")
    kind = next(iter(kinds), None)
    media_type = _media_type(head.media_type or None, expected_media_type, kind, name)
    if media_type in INDEXES:
        return _read_index(document, media_type, name)
    return _read_manifest(document, media_type, head.artifact_type, name)


def _is_schema_1(document: dict[str, Any], expected: str | None) -> bool:
    version, media_type = document.get("schemaVersion"), document.get("mediaType")
    if isinstance(media_type, str) and media_type in SCHEMA_1:
        return True
    return (version == 1 and version is not True) or "fsLayers" in document or expected in SCHEMA_1


def _media_type(stated: str | None, expected: str | None, kind: str | None, name: str) -> str:
    """Decide what the document is: its field, its descriptor and its shape must all say the same."""
    for claim in filter(None, (stated, expected)):
        if claim not in MANIFESTS | INDEXES:
            raise UnsupportedImage(name, f"media type {shown(claim)} is no image manifest's and no index's")
    if stated and expected and stated != expected:
        raise MalformedDocument(name, "$.mediaType", f"is {shown(stated)}, but its descriptor says {shown(expected)}")
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


def _read_index(document: dict[str, Any], media_type: str, name: str) -> Index:
    body = convert_document(document, _IndexBody, name)
    entries = [read_descriptor(item, name, f"$.manifests[{i}]") for i, item in enumerate(body.manifests)]
    return Index(media_type, tuple(entries), body.annotations or {})


def _read_manifest(document: dict[str, Any], media_type: str, artifact_type: str | None, name: str) -> Manifest:
    if artifact_type and artifact_type not in IMAGE_CONFIGS:
        raise UnsupportedImage(name, f"is an artifact of type {shown(artifact_type)}, not an image")
    body = convert_document(document, _ManifestBody, name)
    config = read_descriptor(body.config, name, "$.config")
    if config.media_type not in IMAGE_CONFIGS:
        what = shown(config.media_type)
        raise UnsupportedImage(name, f"is an artifact, not an image: its config is of media type {what}")
    layers = [read_descriptor(item, name, f"$.layers[{i}]") for i, item in enumerate(body.layers)]
    for i, layer in enumerate(layers):
        layer_compression(layer.media_type, f"{name} at $.layers[{i}].mediaType")
    return Manifest(media_type, config, tuple(layers), body.annotations or {})
