"""The store's JSON files."""

from __future__ import annotations

import json

import pytest

from builder.containers_storage.records import ImageRecord, LayerRecord, data_name, parse_records
from builder.errors import MalformedDocument

ID = "a" * 64


def parse(document: object) -> dict[str, ImageRecord]:
    return parse_records(json.dumps(document).encode(), ImageRecord, "images.json")


def test_an_image_with_what_concerns_us() -> None:
    item = {
        "id": ID,
        "digest": "sha256:1",
        "names": ["localhost/a:1"],
        "layer": "b",
        "metadata": "{}",
        "big-data-names": ["manifest", "sha256:4"],
        "big-data-digests": {"manifest": "sha256:2", "manifest-sha256:3": "sha256:3", "sha256:4": "sha256:4"},
        "created": "2024-01-01T00:00:00Z",
        "flags": {"a": {"b": 1}},
    }
    image = parse([item])[ID]
    assert (image.names, image.top_layer, image.big_data_names) == (["localhost/a:1"], "b", ["manifest", "sha256:4"])
    assert image.digests == {"sha256:1", "sha256:2", "sha256:3"}


def test_a_layer_with_what_concerns_us() -> None:
    item = {
        "id": ID,
        "parent": "b",
        "diff-digest": "sha256:1",
        "diff-size": -1,
        "uidmap": [{"container_id": 0, "host_id": 100000, "size": 65536}],
        "flags": {"incomplete": True},
    }
    layer = parse_records(json.dumps([item]).encode(), LayerRecord, "layers.json")[ID]
    assert (layer.parent, layer.diff_digest, layer.is_incomplete) == ("b", "sha256:1", True)
    assert layer.uid_map is not None
    assert layer.uid_map[0].host_id == 100000


@pytest.mark.parametrize("flags", [None, {}, {"incomplete": False}, {"expected-layer-diffid": "sha256:1"}])
def test_a_layer_that_is_complete(flags: object) -> None:
    layers = parse_records(json.dumps([{"id": ID, "flags": flags}]).encode(), LayerRecord, "layers.json")
    assert not layers[ID].is_incomplete


@pytest.mark.parametrize("data", [b"", b"null", b"[]"])
def test_a_new_store_has_no_images(data: bytes) -> None:
    assert parse_records(data, ImageRecord, "images.json") == {}


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({}, "$"),
        ([{"id": 1}], "$[0].id"),
        ([{}], "$[0]"),
        ([{"id": ID, "names": [1]}], "$[0].names[0]"),
        ([{"id": ID}, {"id": ID}], "$[1].id"),
        ([{"id": ""}], "$[0]"),
        ([{"id": "../x"}], "$[0]"),
        ([{"id": ".."}], "$[0]"),
        ([{"id": "a/b"}], "$[0]"),
        ([{"id": "a\n"}], "$[0]"),
        ([{"id": ID, "layer": "../../x"}], "$[0]"),
    ],
)
def test_what_is_no_list_of_images_is_refused(document: object, path: str) -> None:
    with pytest.raises(MalformedDocument) as caught:
        parse(document)
    assert (caught.value.document, caught.value.path) == ("images.json", path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"{", pytest.param(b"[" * 100_000, id="nested"), b"\xff", b"[1]", b'[{"id": "\\ud800"}]']
)
def test_what_is_no_json_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedDocument):
        parse_records(data, LayerRecord, "layers.json")


def test_data_has_the_names_that_the_store_gives_it() -> None:
    assert data_name("manifest") == "manifest"
    assert data_name("instances.json") == "instances.json"
    assert data_name("sha256:1") == "=c2hhMjU2OjE="
    assert data_name("manifest-sha256:1") == "=bWFuaWZlc3Qtc2hhMjU2OjE="
    assert data_name("") == "="
