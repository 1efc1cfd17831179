from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.documents import (
    CONFIG,
    DIGEST,
    INDEX,
    MANIFEST,
    Json,
    descriptor,
    parse,
    refusal,
    without,
)

from builder.errors import ImageRefused
from builder.image.config import parse_config
from builder.image.descriptor import Descriptor
from builder.image.manifest import Index, Manifest, parse_document
from builder.image.media_types import (
    DOCKER_CONFIG,
    DOCKER_LAYER_GZIP,
    DOCKER_MANIFEST,
    DOCKER_MANIFEST_LIST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
)
from builder.image.platform import Platform


def test_a_manifest_is_read_with_all_that_its_descriptors_say() -> None:
    foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(OCI_CONFIG, data="e30="),
        "layers": [
            descriptor(OCI_LAYER_GZIP, annotations={"k": "v"}),
            descriptor(foreign, urls=["https://example.com/layer"], size=(1 << 63) - 1),
        ],
        "subject": descriptor(OCI_MANIFEST),
        "annotations": {"a": "b"},
        "later": True,
    }
    assert parse(document, OCI_MANIFEST) == Manifest(
        OCI_MANIFEST,
        Descriptor(OCI_CONFIG, DIGEST, 7),
        (
            Descriptor(OCI_LAYER_GZIP, DIGEST, 7, annotations={"k": "v"}),
            Descriptor(foreign, DIGEST, (1 << 63) - 1, urls=("https://example.com/layer",)),
        ),
        {"a": "b"},
    )


def test_an_index_is_read_with_all_that_its_descriptors_say() -> None:
    platform = {"os": "linux", "architecture": "arm", "variant": "v7", "os.version": "1", "os.features": ["x"]}
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [
            descriptor(OCI_MANIFEST, platform=platform),
            descriptor(OCI_INDEX, artifactType="application/x", platform={"os": "", "architecture": ""}),
            descriptor("text/plain", platform=None, urls=None, annotations=None),
        ],
        "annotations": None,
    }
    assert parse(document, OCI_INDEX) == Index(
        OCI_INDEX,
        (
            Descriptor(OCI_MANIFEST, DIGEST, 7, platform=Platform("linux", "arm", "v7"), os_features=("x",)),
            Descriptor(OCI_INDEX, DIGEST, 7, platform=Platform("", ""), artifact_type="application/x"),
            Descriptor("text/plain", DIGEST, 7),
        ),
    )


def test_docker_schema_2_documents_are_read_alike() -> None:
    layer = descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", urls=["https://a/b"])
    manifest = parse(
        {
            "schemaVersion": 2,
            "mediaType": DOCKER_MANIFEST,
            "config": descriptor(DOCKER_CONFIG),
            "layers": [descriptor(DOCKER_LAYER_GZIP), layer],
        },
        DOCKER_MANIFEST,
    )
    assert manifest == Manifest(
        DOCKER_MANIFEST,
        Descriptor(DOCKER_CONFIG, DIGEST, 7),
        (Descriptor(DOCKER_LAYER_GZIP, DIGEST, 7), Descriptor(layer["mediaType"], DIGEST, 7, ("https://a/b",))),
    )
    entry = descriptor(DOCKER_MANIFEST, platform={"os": "linux", "architecture": "amd64", "features": ["sse4"]})
    index = parse({"schemaVersion": 2, "mediaType": DOCKER_MANIFEST_LIST, "manifests": [entry]})
    assert index == Index(
        DOCKER_MANIFEST_LIST, (Descriptor(DOCKER_MANIFEST, DIGEST, 7, platform=Platform("linux", "amd64")),)
    )


@pytest.mark.parametrize(
    ("document", "expected", "media_type"),
    [
        (MANIFEST, None, OCI_MANIFEST),
        (MANIFEST, OCI_MANIFEST, OCI_MANIFEST),
        (MANIFEST, DOCKER_MANIFEST, DOCKER_MANIFEST),
        (MANIFEST | {"mediaType": ""}, None, OCI_MANIFEST),
        (MANIFEST | {"mediaType": None}, None, OCI_MANIFEST),
        (MANIFEST | {"mediaType": DOCKER_MANIFEST}, None, DOCKER_MANIFEST),
        (INDEX, None, OCI_INDEX),
        (INDEX, DOCKER_MANIFEST_LIST, DOCKER_MANIFEST_LIST),
    ],
)
def test_the_media_type_comes_from_the_document_else_its_descriptor_else_its_shape(
    document: Json, expected: str | None, media_type: str
) -> None:
    assert parse(document, expected).media_type == media_type


def test_an_image_may_have_no_layers_and_an_index_no_entries() -> None:
    assert parse(MANIFEST | {"layers": []}) == Manifest(OCI_MANIFEST, Descriptor(OCI_CONFIG, DIGEST, 7), ())
    assert parse(INDEX | {"manifests": []}) == Index(OCI_INDEX, ())


def test_null_is_an_empty_list_as_go_writes_it_and_old_docker_left_it_out() -> None:
    empty = parse(MANIFEST | {"layers": []})
    assert parse(MANIFEST | {"layers": None}) == parse(without(MANIFEST, "layers")) == empty
    assert parse(INDEX | {"manifests": None}) == Index(OCI_INDEX, ())


ODD_ENTRIES: dict[str, tuple[Json | None, str]] = {
    "null": (None, "$.manifests[1] expected `object`, got `null`"),
    "empty": ({}, "$.manifests[1].mediaType is missing"),
    "digest": (
        descriptor(OCI_MANIFEST, digest=f"blake3:{'0' * 64}"),
        "$.manifests[1].digest algorithm 'blake3' is not supported, only sha256 and sha512 are",
    ),
    "size": (without(descriptor(OCI_MANIFEST), "size"), "$.manifests[1].size is missing"),
    "platform": (
        descriptor(OCI_MANIFEST, platform=[]),
        "$.manifests[1].platform expected `object | null`, got `array`",
    ),
    "twice": (
        descriptor(OCI_MANIFEST, Size=8),
        "$.manifests[1].Size differs from `size` only in case, so readers disagree on what it means",
    ),
}


@pytest.mark.parametrize("odd", ODD_ENTRIES)
def test_an_entry_that_cannot_be_read_spoils_no_other(odd: str) -> None:
    entry, reason = ODD_ENTRIES[odd]
    index = parse(INDEX | {"manifests": [descriptor(OCI_MANIFEST), entry, descriptor(OCI_INDEX)]})
    assert isinstance(index, Index)
    assert index.manifests == (Descriptor(OCI_MANIFEST, DIGEST, 7), Descriptor(OCI_INDEX, DIGEST, 7))
    assert [each.position for each in index.unreadable] == [1]
    assert index.remarks == (f"1 entry that cannot be read is passed over: {reason}",)


def test_an_entry_that_cannot_be_read_says_what_it_can_of_itself() -> None:
    odd = {"platform": {"os": "linux", "architecture": "arm64"}, "annotations": {"a": "b", "c": 1}}
    index = parse(INDEX | {"manifests": [odd, {"platform": 5, "annotations": []}]})
    assert isinstance(index, Index)
    assert [(each.platform, each.annotations) for each in index.unreadable] == [
        (Platform("linux", "arm64"), {"a": "b"}),
        (None, {}),
    ]


@pytest.mark.parametrize("platform", [{}, {"os": "linux"}, {"os": None, "architecture": "wasm"}])
def test_an_entry_may_say_less_than_a_platform(platform: Json) -> None:
    index = parse(INDEX | {"manifests": [descriptor(OCI_MANIFEST, platform=platform)]})
    stated = Platform(platform.get("os") or "", platform.get("architecture") or "")
    assert index == Index(OCI_INDEX, (Descriptor(OCI_MANIFEST, DIGEST, 7, platform=stated),))


@pytest.mark.parametrize("media_type", ["application/octet-stream", "application/json", "text/html", "", None])
def test_the_config_types_of_old_docker_are_image_configs_in_its_manifests(media_type: str | None) -> None:
    config = descriptor(media_type or "")
    if media_type is None:
        del config["mediaType"]
    old = MANIFEST | {"mediaType": DOCKER_MANIFEST, "config": config}
    assert parse(old) == parse(MANIFEST | {"config": descriptor(DOCKER_CONFIG)}, DOCKER_MANIFEST)
    with pytest.raises(ImageRefused):
        parse(MANIFEST | {"mediaType": OCI_MANIFEST, "config": config})


def test_keys_in_another_letter_case_are_taken_as_go_takes_them() -> None:
    manifest = parse({"SchemaVersion": 2, "Config": CONFIG, "LAYERS": [descriptor(OCI_LAYER_GZIP)]})
    assert manifest == parse(MANIFEST)
    assert manifest.remarks == ("letter case is ignored, as Docker does, in $.SchemaVersion and 2 more",)


@pytest.mark.parametrize(
    ("document", "path", "reason"),
    [
        ({}, "$.schemaVersion", "is missing"),
        ({"schemaVersion": 2}, "$", "has none of `manifests`, `config` and `layers`"),
        (without(MANIFEST, "schemaVersion"), "$.schemaVersion", "is missing"),
        (MANIFEST | {"schemaVersion": 3}, "$.schemaVersion", "is 3, only 2 is known"),
        (MANIFEST | {"schemaVersion": "2"}, "$.schemaVersion", "expected `int`, got `str`"),
        (MANIFEST | {"schemaVersion": True}, "$.schemaVersion", "expected `int`, got `bool`"),
        (MANIFEST | {"schemaVersion": 2.0}, "$.schemaVersion", "expected `int`, got `float`"),
        (MANIFEST | {"mediaType": 5}, "$.mediaType", "expected `str | null`, got `int`"),
        (without(MANIFEST, "config"), "$.config", "is missing"),
        (MANIFEST | {"config": None}, "$.config", "expected `object`, got `null`"),
        (MANIFEST | {"layers": [None]}, "$.layers[0]", "expected `object`, got `null`"),
        (INDEX | {"manifests": {}}, "$.manifests", "expected `array | null`, got `object`"),
        (without(MANIFEST, "config") | {"layers": None}, "$.config", "is missing"),
        (MANIFEST | {"config": without(CONFIG, "mediaType")}, "$.config.mediaType", "is missing"),
    ],
)
def test_what_breaks_the_specification_is_refused_with_its_path(document: Json, path: str, reason: str) -> None:
    assert refusal(document) == (path, reason)


@pytest.mark.parametrize("artifact_type", [OCI_CONFIG, "application/vnd.example.thing", ""])
def test_whatever_has_an_image_config_is_an_image(artifact_type: str) -> None:
    assert parse(MANIFEST | {"artifactType": artifact_type}) == parse(MANIFEST)


def test_descriptors_manifests_and_indexes_can_be_members_of_sets() -> None:
    manifest, index = parse(MANIFEST | {"annotations": {"a": "b"}}), parse(INDEX)
    assert len({manifest, index, parse(INDEX)}) == 2


FIELDS = ["schemaVersion", "mediaType", "config", "layers", "manifests", "digest", "size", "os", "rootfs", "diff_ids"]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from([2, str(DIGEST), OCI_CONFIG])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=3)
)


@pytest.mark.heavy
@given(st.sampled_from([MANIFEST, INDEX, {}]), st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=3))
def test_no_document_ends_in_anything_but_a_value_or_a_refusal(base: Json, more: Json) -> None:
    data = json.dumps(base | more).encode()
    for parse_it in (lambda: parse_document(data, None, "it"), lambda: parse_config(data, "it")):
        try:
            parse_it()
        except ImageRefused as error:
            assert "\n" not in str(error)  # noqa: PT017 - either outcome is right
