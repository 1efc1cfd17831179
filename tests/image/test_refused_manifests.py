from __future__ import annotations

import json

import pytest
from support.documents import (
    INDEX,
    LAYER,
    MANIFEST,
    Json,
    descriptor,
    refusal,
    unsupported,
)

from builder.image.document import MAX_DOCUMENT_SIZE
from builder.image.media_types import (
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (MANIFEST | INDEX, "is ambiguous: it is an index and a manifest at once, with `manifests` and `layers`"),
        (
            INDEX | {"config": None},
            "is ambiguous: it is an index and a manifest at once, with `manifests` and `config`",
        ),
        (
            MANIFEST | {"mediaType": OCI_MANIFEST, "manifests": None},
            "is ambiguous: it is an index and a manifest at once, with `manifests` and `layers`",
        ),
        (
            MANIFEST | {"fsLayers": []},
            "is ambiguous: it is a manifest and a schema 1 manifest at once, with `layers` and `fsLayers`",
        ),
    ],
)
@pytest.mark.parametrize("expected", [None, OCI_MANIFEST, OCI_INDEX])
def test_a_document_that_is_a_manifest_and_an_index_is_refused(
    document: Json, reason: str, expected: str | None
) -> None:
    assert refusal(document, expected) == ("$", reason)


@pytest.mark.parametrize(("document", "field"), [(MANIFEST, "layers"), (MANIFEST, "config"), (INDEX, "manifests")])
def test_a_key_that_go_would_read_as_another_is_refused(document: Json, field: str) -> None:
    reason = f"differs from `{field}` only in case, so readers disagree on what it means"
    assert refusal(document | {field.title(): document[field]}) == (f"$.{field.title()}", reason)


@pytest.mark.parametrize(
    ("document", "more"), [(MANIFEST, "Manifests"), (MANIFEST, "FSLAYERS"), (INDEX, "Layers"), (INDEX, "Config")]
)
def test_a_document_of_two_kinds_is_refused_in_any_letter_case(document: Json, more: str) -> None:
    path, reason = refusal(document | {more: []})
    assert path == "$"
    assert reason.startswith("is ambiguous: it is ")


@pytest.mark.parametrize(
    ("document", "expected", "path", "reason"),
    [
        (
            MANIFEST | {"mediaType": OCI_INDEX},
            None,
            "$.mediaType",
            "it says that this is an index, but the content is a manifest",
        ),
        (
            INDEX | {"mediaType": DOCKER_MANIFEST},
            DOCKER_MANIFEST,
            "$.mediaType",
            "it says that this is a manifest, but the content is an index",
        ),
        (MANIFEST, OCI_INDEX, "$", "its descriptor says that this is an index, but the content is a manifest"),
        (INDEX, DOCKER_MANIFEST, "$", "its descriptor says that this is a manifest, but the content is an index"),
        (
            MANIFEST | {"mediaType": OCI_MANIFEST},
            DOCKER_MANIFEST,
            "$.mediaType",
            f"is '{OCI_MANIFEST}', but its descriptor says '{DOCKER_MANIFEST}'",
        ),
        (
            INDEX | {"mediaType": OCI_INDEX},
            OCI_MANIFEST,
            "$.mediaType",
            f"is '{OCI_INDEX}', but its descriptor says '{OCI_MANIFEST}'",
        ),
    ],
)
def test_a_media_type_that_contradicts_the_content_or_the_descriptor_is_refused(
    document: Json, expected: str | None, path: str, reason: str
) -> None:
    assert refusal(document, expected) == (path, reason)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"schemaVersion": 1, "fsLayers": [], "history": [], "signatures": []}, None),
        ({"schemaVersion": 1, "name": "library/busybox"}, None),
        ({"schemaVersion": 1}, "application/vnd.docker.distribution.manifest.v1+prettyjws"),
        ({"mediaType": "application/vnd.docker.distribution.manifest.v1+json"}, None),
        ({"schemaVersion": 2, "fsLayers": []}, None),
    ],
)
def test_docker_schema_1_is_refused_with_what_to_do(document: Json, expected: str | None) -> None:
    assert unsupported(document, expected) == (
        "manifest M",
        "is a Docker schema 1 manifest; convert the image first, as with skopeo copy --format oci",
    )


HELM = "application/vnd.cncf.helm.config.v1+json"
EMPTY_CONFIG = "application/vnd.oci.empty.v1+json"
SIGNATURE = "application/vnd.dev.cosign.simplesigning.v1+json"


@pytest.mark.parametrize(
    ("document", "what", "reason"),
    [
        (
            MANIFEST | {"artifactType": "application/vnd.example.sbom", "config": descriptor(EMPTY_CONFIG)},
            "manifest M",
            "is an artifact of type 'application/vnd.example.sbom', not an image",
        ),
        (
            MANIFEST | {"config": descriptor(EMPTY_CONFIG)},
            "manifest M",
            f"is an artifact, not an image: its config is of media type '{EMPTY_CONFIG}'",
        ),
        (
            MANIFEST | {"config": descriptor(HELM)},
            "manifest M",
            f"is an artifact, not an image: its config is of media type '{HELM}'",
        ),
        (
            MANIFEST | {"layers": [descriptor(SIGNATURE)]},
            "manifest M at $.layers[0].mediaType",
            f"media type '{SIGNATURE}' is no root file system layer",
        ),
        (
            MANIFEST | {"layers": [LAYER, descriptor(OCI_LAYER_GZIP + "+encrypted")]},
            "manifest M at $.layers[1].mediaType",
            "the layer is encrypted; decrypt the image first, as with skopeo copy --decryption-key",
        ),
        (
            MANIFEST | {"mediaType": "application/vnd.oci.artifact.manifest.v1+json"},
            "manifest M",
            "media type 'application/vnd.oci.artifact.manifest.v1+json' is no image manifest's and no index's",
        ),
    ],
)
def test_what_holds_no_root_file_system_is_refused(document: Json, what: str, reason: str) -> None:
    assert unsupported(document) == (what, reason)


@pytest.mark.parametrize("document", [MANIFEST, {"architecture": "amd64", "os": "linux", "rootfs": {}}, {}])
@pytest.mark.parametrize("media_type", ["text/html", OCI_CONFIG])
def test_a_descriptor_that_leads_to_no_manifest_is_refused(document: Json, media_type: str) -> None:
    assert unsupported(document, media_type) == (
        "manifest M",
        f"media type '{media_type}' is no image manifest's and no index's",
    )


def test_an_index_has_no_more_entries_than_a_document_holds_real_ones() -> None:
    most = 32768
    smallest = json.dumps(descriptor(OCI_MANIFEST, size=0), separators=(",", ":"))
    assert most * len(smallest) > MAX_DOCUMENT_SIZE
    said = ("$.manifests", "has more than 32768 entries, which are refused")
    assert said == refusal(INDEX | {"manifests": [0] * (most + 1)})
