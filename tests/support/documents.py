"""Manifests and indexes as JSON values, least and legal, for tests to add to; and how parsing them ends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from builder.errors import MalformedDocument, UnsupportedImage
from builder.image.digest import Digest
from builder.image.manifest import Index, Manifest, parse_document
from builder.image.media_types import OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST

DIGEST = Digest.of(b"content")
Json = dict[str, Any]


def descriptor(media_type: str, **more: object) -> Json:
    return {"mediaType": media_type, "digest": str(DIGEST), "size": 7} | more


CONFIG, LAYER = descriptor(OCI_CONFIG), descriptor(OCI_LAYER_GZIP)
MANIFEST: Json = {"schemaVersion": 2, "config": CONFIG, "layers": [LAYER]}
INDEX: Json = {"schemaVersion": 2, "manifests": [descriptor(OCI_MANIFEST)]}


def parse(document: object, expected: str | None = None) -> Manifest | Index:
    return parse_document(json.dumps(document).encode(), expected, "manifest M")


def refusal(document: object, expected: str | None = None) -> tuple[str, str]:
    with pytest.raises(MalformedDocument) as caught:
        parse(document, expected)
    assert caught.value.document == "manifest M"
    return caught.value.path, caught.value.reason


def unsupported(document: object, expected: str | None = None) -> tuple[str, str]:
    with pytest.raises(UnsupportedImage) as caught:
        parse(document, expected)
    return caught.value.what, caught.value.reason


def without(document: Json, *keys: str) -> Json:
    return {key: value for key, value in document.items() if key not in keys}
