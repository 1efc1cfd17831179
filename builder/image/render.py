"""Manifests and indexes as documents: what a source put together, written as the specification has it.

The same manifest gives the same bytes, so that an image has one digest however often it is written.
"""

from __future__ import annotations

import json
from typing import Any

from builder.image.descriptor import Descriptor
from builder.image.manifest import Index, Manifest


def render_document(document: Manifest | Index) -> bytes:
    """Write a manifest or an index as JSON (OCI image-spec, manifest.md and image-index.md)."""
    fields: dict[str, Any] = {"schemaVersion": 2, "mediaType": document.media_type}
    if isinstance(document, Manifest):
        fields["config"] = render_descriptor(document.config)
        fields["layers"] = [render_descriptor(layer) for layer in document.layers]
    else:
        fields["manifests"] = [render_descriptor(entry) for entry in document.manifests]
    if document.annotations:
        fields["annotations"] = dict(sorted(document.annotations.items()))
    return json.dumps(fields, separators=(",", ":")).encode()


def render_descriptor(descriptor: Descriptor) -> dict[str, Any]:
    """Write a descriptor as JSON values (descriptor.md)."""
    fields: dict[str, Any] = {
        "mediaType": descriptor.media_type,
        "digest": str(descriptor.digest),
        "size": descriptor.size,
    }
    if descriptor.urls:
        fields["urls"] = list(descriptor.urls)
    if descriptor.annotations:
        fields["annotations"] = dict(sorted(descriptor.annotations.items()))
    if (platform := descriptor.platform) is not None:
        fields["platform"] = {"architecture": platform.architecture, "os": platform.os}
        if platform.variant:
            fields["platform"]["variant"] = platform.variant
        if descriptor.os_features:
            fields["platform"]["os.features"] = list(descriptor.os_features)
    if descriptor.artifact_type:
        fields["artifactType"] = descriptor.artifact_type
    return fields
