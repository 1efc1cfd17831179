"""What BuildKit attests of an image in its index: named in provenance, and handed on as it is."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.attested import PACKAGES, PROVENANCE, SPEC, TYPES, image_files
from support.images import blob_path, bytes_of, digest, layout, write_directory
from support.registry import Registry

from builder import BuildOptions, build
from builder.actions.up_to_date import Lookout
from builder.errors import BlobMissing, DigestMismatch, ImageRefused, MalformedDocument, UnsupportedImage
from builder.events import Event, Notice
from builder.image.platform import Platform
from builder.sources import attestations
from builder.sources.access import Access


def image(tmp_path: Path, *statements: bytes) -> str:
    write_directory(tmp_path / "image", image_files(*statements))
    return f"oci:{tmp_path}/image:latest"


AMD64 = Platform("linux", "amd64")


def named(statement: Path) -> list[Mapping[str, Any]]:
    document = json.loads(statement.read_bytes())["predicate"]["buildDefinition"]["resolvedDependencies"]
    return [each for each in document if each["name"].startswith("attestation")]


def test_statements_are_named_and_handed_on_each_as_the_line_that_it_is(tmp_path: Path) -> None:
    reference = image(tmp_path, PROVENANCE, PACKAGES)
    lines, statement = tmp_path / "d.jsonl", tmp_path / "d.intoto.json"
    build(reference, tmp_path / "d.ext4", BuildOptions(platform=AMD64, attestations=lines, provenance=statement))
    first, second = lines.read_bytes().splitlines()
    assert json.loads(first) == json.loads(PROVENANCE)
    assert second == PACKAGES
    manifest, *stated = named(statement)
    assert [(each["digest"]["sha256"], each["annotations"]["predicateType"]) for each in stated] == [
        (digest(each)[7:], TYPES[each]) for each in (PROVENANCE, PACKAGES)
    ]
    assert "sha256:" + manifest["digest"]["sha256"] in str(image_files(PROVENANCE, PACKAGES))


def test_each_image_of_an_index_has_its_own(tmp_path: Path) -> None:
    reference = image(tmp_path, PACKAGES)
    options = BuildOptions(platform=Platform("linux", "arm64"), attestations=tmp_path / "d.jsonl")
    build(reference, tmp_path / "d.ext4", options)
    assert (tmp_path / "d.jsonl").read_bytes() == b'{"of":"arm64"}\n'


@pytest.mark.parametrize("where", ["an index", "no index"])
def test_an_image_of_which_nothing_is_attested_has_an_empty_file_and_says_so(tmp_path: Path, where: str) -> None:
    if where == "an index":
        reference = image(tmp_path)
    else:
        layout(tmp_path / "image", SPEC)
        reference = f"oci:{tmp_path}/image:latest"
    heard: list[Event] = []
    options = BuildOptions(platform=AMD64, attestations=tmp_path / "d.jsonl", provenance=tmp_path / "p")
    build(reference, tmp_path / "d.ext4", options, heard.append)
    assert (tmp_path / "d.jsonl").read_bytes() == b""
    assert named(tmp_path / "p") == []
    said = f"{reference}: its index names nothing that is attested of it"
    assert [each.text for each in heard if isinstance(each, Notice)] == [said]


def test_what_is_missing_or_another_is_written_and_the_disk_is_left(tmp_path: Path) -> None:
    reference, disk, lines = image(tmp_path, PACKAGES), tmp_path / "d.ext4", tmp_path / "d.jsonl"
    options = BuildOptions(platform=AMD64, attestations=lines, metadata_file=tmp_path / "d.json")
    build(reference, disk, options)
    content = lines.read_bytes()
    with Lookout() as lookout:
        assert lookout.look(reference, disk, options).reason is None
        lines.write_bytes(b"")
        assert lookout.look(reference, disk, options).reason == "what goes with the disk is missing or changed"
    assert build(reference, disk, options).built is False
    assert lines.read_bytes() == content


def test_of_many_images_not_all_is_held_that_is_attested_of_them(tmp_path: Path) -> None:
    disks = []
    for number in range(3):
        large = b'{"number":%d,"text":"%b"}' % (number, b"x" * (1 << 20))
        reference, disk = image(tmp_path / str(number), large), tmp_path / f"{number}.ext4"
        options = BuildOptions(
            platform=AMD64, attestations=tmp_path / f"{number}.jsonl", metadata_file=Path(f"{disk}.json")
        )
        build(reference, disk, options)
        disks.append((reference, disk, options))
    with Lookout() as lookout:
        tracemalloc.start()
        try:
            assert [lookout.look(*each).reason for each in disks] == [None] * 3
            assert tracemalloc.get_traced_memory()[0] < 1 << 20
        finally:
            tracemalloc.stop()


def damaged(tmp_path: Path, *statements: bytes, change: Mapping[bytes, bytes | None]) -> str:
    """An image of which blobs with these contents are others, or not there."""
    files = image_files(*statements)
    for data, other in change.items():
        if other is None:
            del files[blob_path(digest(data))]
        else:
            files[blob_path(digest(data))] = other
    write_directory(tmp_path / "image", files)
    return f"oci:{tmp_path}/image:latest"


@pytest.mark.parametrize(
    ("statement", "other", "error"),
    [
        (PACKAGES, PACKAGES.replace(b"D", b"E"), DigestMismatch),
        (PACKAGES, None, BlobMissing),
        (b"{", b"{", MalformedDocument),
        (b"[]", b"[]", MalformedDocument),
        (b"\xff", b"\xff", MalformedDocument),
        (b"[" * 100_000, b"[" * 100_000, MalformedDocument),
        (b'{"a":' + b"[" * 100_000, b'{"a":' + b"[" * 100_000, MalformedDocument),
        (b'{"a": ["\n"]}', b'{"a": ["\n"]}', MalformedDocument),
        (b'{"a": ["\xff"]}', b'{"a": ["\xff"]}', MalformedDocument),
        (b'{"a": 1} \xf0\x9f', b'{"a": 1} \xf0\x9f', MalformedDocument),
    ],
    ids=[
        "another",
        "missing",
        "cut",
        "a list",
        "no UTF-8",
        "deep",
        "deep below",
        "line end",
        "no UTF-8 below",
        "a cut character",
    ],
)
def test_what_cannot_be_handed_on_as_it_was_attested_is_refused(
    tmp_path: Path, statement: bytes, other: bytes | None, error: type[ImageRefused]
) -> None:
    reference = damaged(tmp_path, statement, change={statement: other})
    (tmp_path / "out").mkdir()
    options = BuildOptions(platform=AMD64, attestations=tmp_path / "out" / "d.jsonl")
    with pytest.raises(error) as caught:
        build(reference, tmp_path / "out" / "d.ext4", options)
    assert str(caught.value).isprintable()
    assert list((tmp_path / "out").iterdir()) == []
    # Nobody else's disk depends on it.
    build(reference, tmp_path / "d.ext4", BuildOptions(platform=AMD64, provenance=tmp_path / "p"))
    assert len(named(tmp_path / "p")) == 2


def test_provenance_goes_without_names_that_cannot_be_read(tmp_path: Path) -> None:
    files = image_files(PACKAGES)
    index = next(data for data in files.values() if b"attestation-manifest" in bytes_of(data))
    marked = [each for each in json.loads(bytes_of(index))["manifests"] if "annotations" in each]
    files[blob_path(marked[-1]["digest"])] = b"{}"
    write_directory(tmp_path / "image", files)
    heard: list[Event] = []
    options = BuildOptions(platform=AMD64, provenance=tmp_path / "p")
    build(f"oci:{tmp_path}/image:latest", tmp_path / "d.ext4", options, heard.append)
    assert [each["digest"]["sha256"] for each in named(tmp_path / "p")] == [marked[-1]["digest"][7:]]
    (said,) = [each.text for each in heard if isinstance(each, Notice)]
    assert said.endswith("what it holds is not named")


def test_there_are_limits_to_what_is_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = BuildOptions(platform=AMD64, attestations=tmp_path / "d.jsonl")
    monkeypatch.setattr(attestations, "MAX_SIZE", len(PACKAGES) + len(PROVENANCE) - 1)
    with pytest.raises(UnsupportedImage, match="bytes, which are refused"):
        build(image(tmp_path, PACKAGES, PROVENANCE), tmp_path / "d.ext4", options)
    monkeypatch.setattr(attestations, "MAX_STATEMENTS", 1)
    with pytest.raises(UnsupportedImage, match="more than 1 statements"):
        build(image(tmp_path, PACKAGES, PROVENANCE), tmp_path / "d.ext4", options)


def test_of_an_index_with_very_many_manifests_of_attestations_none_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attestations, "MAX_MANIFESTS", 0)
    reference, disk = image(tmp_path, PACKAGES), tmp_path / "d.ext4"
    with pytest.raises(UnsupportedImage, match="more than 0 manifests"):
        build(reference, disk, BuildOptions(platform=AMD64, attestations=tmp_path / "d.jsonl"))
    heard: list[Event] = []
    build(reference, disk, BuildOptions(platform=AMD64, provenance=tmp_path / "p"), heard.append)
    assert named(tmp_path / "p") == []
    assert next(each.text for each in heard if isinstance(each, Notice)).endswith("none is named")


LISTS, TEXT = b'{"a":[' + b"[]," * (1 << 18) + b"1]}", '{"a":"😀'.encode() + b"x" * (1 << 20) + b'"}'


@pytest.mark.parametrize(("data", "most"), [(LISTS, 8), (TEXT, 3)], ids=["lists", "text"])
def test_whether_a_statement_is_json_is_seen_without_keeping_what_it_says(data: bytes, most: int) -> None:
    tracemalloc.start()
    try:
        attestations._line(data, "a statement")
        assert tracemalloc.get_traced_memory()[1] < most * len(data)
    finally:
        tracemalloc.stop()


def test_a_registry_is_asked_for_them(registry: Registry, tmp_path: Path) -> None:
    registry.push_layout("attested", image_files(PACKAGES), "latest")
    options = BuildOptions(
        platform=AMD64, attestations=tmp_path / "d.jsonl", access=Access(store=str(tmp_path / "store"))
    )
    for name in ("one.ext4", "two.ext4"):
        build(f"docker://{registry.host}/attested", tmp_path / name, options)
        assert (tmp_path / "d.jsonl").read_bytes() == PACKAGES + b"\n"
        (tmp_path / "d.jsonl").unlink()
