"""What images have in common, from their manifests alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.images import Spec, layout
from support.tars import file, tar

from builder import BuildOptions
from builder.batch.bases import bases
from builder.batch.images import parse_list

BASE = tar(file("base", b"a" * 1000))
LARGER = tar(file("python", bytes(range(256)) * 100))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def image(place: Path, name: str, *layers: bytes) -> str:
    (made,) = layout(place / name, Spec((*layers, tar(file("own", name.encode() * 50_000)))))
    return made.diff_ids[len(layers) - 1]


def found(lines: str) -> dict[int, str]:
    return bases(parse_list(lines, "list", Path("disks"), BuildOptions()))


def test_the_largest_layer_that_another_image_has_counts(place: Path) -> None:
    base = image(place, "a", BASE)
    larger = image(place, "b", BASE, LARGER)
    image(place, "c", BASE, LARGER)
    assert found("oci:a\noci:b\noci:c") == {1: base, 2: larger, 3: larger}


def test_what_is_in_one_image_only_is_no_reason_and_neither_is_what_cannot_be_read(place: Path) -> None:
    image(place, "a", BASE)
    image(place, "b", LARGER)
    assert found("oci:a\noci:b\noci:nowhere\ndocker://127.0.0.1:1/a:b") == {}


def test_two_disks_of_one_image_share_it(place: Path) -> None:
    image(place, "a", BASE)
    assert len(set(found("oci:a\noci:a output=b").values())) == 1


def test_no_layer_is_read(place: Path) -> None:
    image(place, "a", BASE)
    for blob in (place / "a/blobs/sha256").iterdir():
        if blob.read_bytes()[:2] == b"\x1f\x8b":
            blob.unlink()
    assert sorted(found("oci:a\noci:a output=b")) == [1, 2]
