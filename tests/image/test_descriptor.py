from __future__ import annotations

import pytest
from support.documents import (
    CONFIG,
    INDEX,
    LAYER,
    MANIFEST,
    parse,
    refusal,
    without,
)

from builder.image.manifest import Index


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("size", -1, "expected `int` >= 0"),
        ("size", 1 << 63, "expected `int` <= 9223372036854775807"),
        ("size", 1 << 200, "expected `int` <= 9223372036854775807"),
        ("size", "7", "expected `int`, got `str`"),
        ("size", 7.0, "expected `int`, got `float`"),
        ("size", False, "expected `int`, got `bool`"),
        ("size", None, "expected `int`, got `null`"),
        ("digest", None, "expected `str`, got `null`"),
        ("digest", "sha256:0", "sha256 takes 64 hex digits, this has 1 characters"),
        ("digest", "blake3:" + "0" * 64, "algorithm 'blake3' is not supported, only sha256 and sha512 are"),
        ("digest", "../../etc/passwd", "must be written algorithm:hex, as sha256:0123…"),
        ("mediaType", None, "expected `str`, got `null`"),
    ],
)
@pytest.mark.parametrize("place", ["$.config", "$.layers[1]"])
def test_a_bad_descriptor_is_refused_wherever_it_is(place: str, field: str, value: object, reason: str) -> None:
    documents = {
        "$.config": MANIFEST | {"config": CONFIG | {field: value}},
        "$.layers[1]": MANIFEST | {"layers": [LAYER, LAYER | {field: value}]},
    }
    assert refusal(documents[place]) == (f"{place}.{field}", reason)
    index = parse(INDEX | {"manifests": [CONFIG, LAYER | {field: value}]})
    assert isinstance(index, Index)
    (entry,) = index.unreadable
    assert (entry.position, entry.error.path, entry.error.reason) == (1, f"$.manifests[1].{field}", reason)


@pytest.mark.parametrize("field", ["mediaType", "digest", "size"])
def test_a_descriptor_without_a_required_field_is_refused(field: str) -> None:
    assert refusal(MANIFEST | {"layers": [without(LAYER, field)]}) == (f"$.layers[0].{field}", "is missing")


@pytest.mark.parametrize(("field", "value"), [("urls", "https://a/b"), ("annotations", []), ("urls", 5)])
def test_what_no_disk_depends_on_may_be_odd(field: str, value: object) -> None:
    manifest = parse(MANIFEST | {"layers": [LAYER | {field: value}]})
    assert manifest == parse(MANIFEST)
    assert manifest.remarks == (f"1 value is left out, as no disk depends on it: $.layers[0].{field}",)


@pytest.mark.parametrize("value", [None, "erofs", 7, ["erofs", 7]])
def test_of_odd_features_of_an_operating_system_an_entry_has_what_can_be_read(value: object) -> None:
    platform = {"os": "linux", "architecture": "amd64", "os.features": value}
    index = parse(INDEX | {"manifests": [CONFIG | {"platform": platform}]})
    assert isinstance(index, Index)
    assert (index.unreadable, [entry.os_features for entry in index.manifests]) == (
        (),
        [("erofs",) if isinstance(value, list) else ()],
    )
