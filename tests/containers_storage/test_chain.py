"""From an image's top layer to its bottom."""

from __future__ import annotations

import pytest

from builder.containers_storage.chain import find_chain
from builder.containers_storage.records import LayerRecord
from builder.errors import ImageRefused, MalformedArchive, MalformedDocument
from builder.image.digest import Digest

DIFF_IDS = [Digest.of(b"0"), Digest.of(b"1"), Digest.of(b"2")]


def layer(number: int, parent: str = "", **more: object) -> LayerRecord:
    stated = {"id": f"l{number}", "parent": parent, "diff_digest": str(DIFF_IDS[number])} | more
    return LayerRecord(**stated)  # type: ignore[arg-type]


CHAIN = [layer(0), layer(1, "l0"), layer(2, "l1")]


def by_id(*layers: LayerRecord) -> dict[str, LayerRecord]:
    return {layer.id: layer for layer in layers}


def test_layers_come_lowest_first_from_all_stores() -> None:
    assert find_chain("I", "l2", [by_id(*CHAIN)], DIFF_IDS) == CHAIN
    assert find_chain("I", "l2", [by_id(CHAIN[1]), {}, by_id(CHAIN[2], CHAIN[0])], DIFF_IDS) == CHAIN


def test_the_first_store_that_has_a_layer_counts() -> None:
    other = LayerRecord("l0")
    assert find_chain("I", "l0", [by_id(other), by_id(CHAIN[0])], DIFF_IDS[:1]) == [other]


def test_an_image_without_layers_has_none() -> None:
    assert find_chain("I", "", [{}], []) == []


def refusal(top: str, layers: list[LayerRecord], diff_ids: list[Digest] = DIFF_IDS) -> ImageRefused:
    with pytest.raises(ImageRefused) as caught:
        find_chain("I", top, [by_id(*layers)], diff_ids)
    return caught.value


def test_a_layer_that_is_missing_is_named() -> None:
    error = refusal("l2", [CHAIN[2], CHAIN[0]])
    assert isinstance(error, MalformedArchive)
    assert error.reason == "its layer l1 is in none of the stores; pull or build the image again"


def test_an_imagestore_lists_no_layers_of_its_own() -> None:
    error = refusal("l2", [])
    assert isinstance(error, MalformedArchive)
    assert "where it is an imagestore, write [overlay@GRAPHROOT:imagestore=IMAGESTORE]NAME" in error.reason


def test_a_layer_that_is_being_pulled_is_refused() -> None:
    partial = LayerRecord("l0", flags={"incomplete": b"true"})  # type: ignore[dict-item]
    assert "its layer l0 is not complete" in str(refusal("l0", [partial], DIFF_IDS[:1]))


@pytest.mark.parametrize(
    ("top", "layers", "reason"),
    [
        ("l1", CHAIN, "has 3 entries, but the store has 2 layers"),
        ("", CHAIN, "has 3 entries, but the store has 0 layers"),
        ("l2", [layer(0, "l2"), *CHAIN[1:]], "has 3 entries, but the store has more than 3 layers"),
        ("l0", [layer(0, "l0")], "has 3 entries, but the store has more than 3 layers"),
    ],
)
def test_as_many_layers_as_the_config_says(top: str, layers: list[LayerRecord], reason: str) -> None:
    error = refusal(top, layers)
    assert isinstance(error, MalformedDocument)
    assert reason in error.reason


def test_a_layer_of_another_diff_id_is_refused() -> None:
    error = refusal("l2", [CHAIN[0], layer(1, "l0", diff_digest="sha256:x\n"), CHAIN[2]])
    assert isinstance(error, MalformedDocument)
    assert error.path == "$.rootfs.diff_ids[1]"
    assert "but the store's layer l1 is 'sha256:x\\n'" in error.reason
