"""From a reference to one image: platforms, nested indexes, and documents that are not what they should be."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.images import (
    LAYER,
    OCI,
    Files,
    Made,
    Spec,
    add_blob,
    add_image,
    blob_path,
    dumps,
    index_bytes,
    layout_files,
    platform_object,
    write_directory,
)
from support.tars import file, tar

from builder.errors import (
    BlobMissing,
    BuilderError,
    DigestMismatch,
    MalformedDocument,
    PlatformNotFound,
    SizeMismatch,
    UnsupportedImage,
)
from builder.image.document import MAX_DOCUMENT_SIZE
from builder.image.image import Image
from builder.image.platform import Platform
from builder.sources import open_source
from builder.sources.resolve import MAX_NESTING, resolve

HOST = str(Platform.host())
FOREIGN = "linux/s390x" if HOST != "linux/s390x" else "linux/amd64"
ABSENT = "linux/mips64le"
INDEX = OCI + "index.v1+json"


def spec(platform: str, content: str = "content") -> Spec:
    return Spec((tar(file(content, b"")),), platform=platform)


def image(path: Path, platform: str | None = None) -> Image:
    reference = f"oci:{path}"
    with closing(open_source(reference)) as source:
        return resolve(source, reference, Platform.parse(platform) if platform else None)


def refusal(path: Path, platform: str | None = None) -> BuilderError:
    with pytest.raises(BuilderError) as caught:
        image(path, platform)
    return caught.value


def write_index(path: Path, entries: list[dict[str, Any]], files: Files) -> Path:
    """Write a layout whose one entry is an index of `entries`."""
    files["oci-layout"] = dumps({"imageLayoutVersion": "1.0.0"})
    files["index.json"] = index_bytes([add_blob(files, index_bytes(entries), INDEX)])
    return write_directory(path, files)


def entry_of(files: Files, spec: Spec, stated: str | None) -> tuple[Made, dict[str, Any]]:
    """Add an image, and make an index entry that states a platform, be it the image's or not."""
    made, entry = add_image(files, spec)
    return made, {**entry, "platform": platform_object(stated)} if stated else entry


def write_platforms(path: Path, *platforms: str) -> list[Made]:
    files: Files = {}
    pairs = [entry_of(files, spec(platform, platform.replace("/", "-")), platform) for platform in platforms]
    write_index(path, [entry for _, entry in pairs], files)
    return [made for made, _ in pairs]


def test_the_platform_asked_for_is_chosen(tmp_path: Path) -> None:
    made = write_platforms(tmp_path, "linux/amd64", "linux/arm64/v8", "linux/arm/v7", "linux/s390x")
    for number, platform in enumerate(("linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x")):
        assert str(image(tmp_path, platform).digest) == made[number].manifest


def test_without_a_platform_this_machines_is_chosen(tmp_path: Path) -> None:
    made = write_platforms(tmp_path, FOREIGN, HOST)
    assert str(image(tmp_path).digest) == made[1].manifest


def test_without_a_platform_an_image_without_a_choice_is_taken_whatever_it_is_for(tmp_path: Path) -> None:
    files, made = layout_files(spec(FOREIGN))
    write_directory(tmp_path / "single", files)
    (entry,) = write_platforms(tmp_path / "index", FOREIGN)
    assert str(image(tmp_path / "single").digest) == made[0].manifest
    assert str(image(tmp_path / "index").digest) == entry.manifest


def test_an_attestation_beside_a_foreign_image_is_no_choice(tmp_path: Path) -> None:
    files: Files = {}
    made, entry = entry_of(files, spec(FOREIGN), FOREIGN)
    _, attestation = entry_of(files, spec(FOREIGN, "other"), "unknown/unknown")
    attestation["annotations"] = {"vnd.docker.reference.type": "attestation-manifest"}
    write_index(tmp_path, [attestation, entry], files)
    assert str(image(tmp_path).digest) == made.manifest


def test_without_a_platform_a_choice_of_foreign_images_lists_them(tmp_path: Path) -> None:
    others = [platform for platform in ("linux/s390x", "linux/ppc64le", "linux/riscv64") if platform != HOST][:2]
    write_platforms(tmp_path, *others)
    error = refusal(tmp_path)
    assert isinstance(error, PlatformNotFound)
    assert (error.wanted, error.available) == (HOST, tuple(others))


def test_a_platform_that_is_not_there_lists_those_that_are(tmp_path: Path) -> None:
    write_platforms(tmp_path, "linux/amd64", "linux/arm64")
    error = refusal(tmp_path, ABSENT)
    assert isinstance(error, PlatformNotFound)
    assert error.available == ("linux/amd64", "linux/arm64")


def test_a_single_image_of_another_platform_than_asked_for_is_refused(tmp_path: Path) -> None:
    write_directory(tmp_path, layout_files(spec("linux/amd64"))[0])
    error = refusal(tmp_path, "linux/arm64")
    assert isinstance(error, PlatformNotFound)
    assert error.available == ("linux/amd64",)


@pytest.mark.parametrize("platform", [HOST, None])
def test_an_image_that_is_not_for_what_its_index_says_is_refused(tmp_path: Path, platform: str | None) -> None:
    files: Files = {}
    made, entry = entry_of(files, spec(FOREIGN), HOST)
    _, other = entry_of(files, spec(ABSENT), ABSENT)
    write_index(tmp_path, [entry, other], files)
    error = refusal(tmp_path, platform)
    assert isinstance(error, PlatformNotFound)
    assert str(error) == (
        f"oci:{tmp_path}: no image for {HOST}; available: {FOREIGN}, as its config says; its index says otherwise: "
        f"name it with @{made.manifest} to take it as it is"
    )
    with closing(open_source(f"oci:{tmp_path}@{made.manifest}")) as source:
        assert str(resolve(source, "as it is", None).config.platform) == FOREIGN


@pytest.mark.parametrize("depth", [1, MAX_NESTING - 2])
def test_nested_indexes_are_followed(tmp_path: Path, depth: int) -> None:
    files: Files = {}
    made, entry = entry_of(files, spec(HOST), HOST)
    for _ in range(depth - 1):
        entry = add_blob(files, index_bytes([entry]), INDEX)
    write_index(tmp_path, [entry], files)
    assert str(image(tmp_path).digest) == made.manifest


def test_indexes_nested_too_deep_are_refused(tmp_path: Path) -> None:
    files: Files = {}
    _, entry = entry_of(files, spec(HOST), HOST)
    for _ in range(MAX_NESTING):
        entry = add_blob(files, index_bytes([entry]), INDEX)
    write_index(tmp_path, [entry], files)
    error = refusal(tmp_path)
    assert isinstance(error, MalformedDocument)
    assert f"more than {MAX_NESTING} deep" in error.reason


def blob_of(path: Path, digest: str) -> Path:
    return path / blob_path(digest)


def write_one(path: Path) -> Made:
    files, made = layout_files(spec(HOST))
    write_directory(path, files)
    return made[0]


@pytest.mark.parametrize("kind", ["manifest", "config"])
def test_a_document_with_other_content_of_equal_length_is_a_digest_mismatch(tmp_path: Path, kind: str) -> None:
    digest = getattr(write_one(tmp_path), kind)
    data = blob_of(tmp_path, digest).read_bytes()
    blob_of(tmp_path, digest).write_bytes(data.replace(b": ", b":\t", 1))
    error = refusal(tmp_path)
    assert isinstance(error, DigestMismatch)
    assert error.expected == digest
    assert digest in error.what


@pytest.mark.parametrize("kind", ["manifest", "config"])
@pytest.mark.parametrize("change", [-1, 1])
def test_a_document_of_another_length_is_a_size_mismatch(tmp_path: Path, kind: str, change: int) -> None:
    digest = getattr(write_one(tmp_path), kind)
    data = blob_of(tmp_path, digest).read_bytes()
    blob_of(tmp_path, digest).write_bytes(data[:-1] if change < 0 else data + b" ")
    error = refusal(tmp_path)
    assert isinstance(error, SizeMismatch)
    assert (error.expected, error.actual) == (len(data), len(data) + change)


@pytest.mark.parametrize("kind", ["manifest", "config", "layer"])
def test_a_missing_blob_is_named_with_where_it_was_looked_for(tmp_path: Path, kind: str) -> None:
    made = write_one(tmp_path)
    digest = made.layers[0] if kind == "layer" else getattr(made, kind)
    blob_of(tmp_path, digest).unlink()
    error = refusal(tmp_path)
    assert isinstance(error, BlobMissing)
    what = f"layer 1 of 1 ({digest[:19]})" if kind == "layer" else f"{kind} {digest}"
    assert what in error.what
    assert error.what.endswith(f", looked for at {tmp_path}/{blob_path(digest)}")
    assert error.exit_status == 3


def test_where_an_index_is_there_but_not_the_image_those_that_are_are_offered(tmp_path: Path) -> None:
    """As what Docker saves of an image that it has for another machine."""
    wordy = f"linux/{'x' * 1000}"
    files, made = layout_files(spec(HOST), spec("linux/s390x"), spec(wordy), nested="all")
    write_directory(tmp_path, files)
    blob_of(tmp_path, made[0].manifest).unlink()
    error = refusal(tmp_path)
    assert isinstance(error, BlobMissing)
    others = f"linux/s390x or {wordy[:64]}…"
    assert str(error).endswith(f": the blob is not there; there is the image for --platform {others}")
    blob_of(tmp_path, made[2].manifest).unlink()
    blob_of(tmp_path, made[1].manifest).unlink()
    assert str(refusal(tmp_path)).endswith(": the blob is not there")


def test_a_non_distributable_layer_that_is_missing_names_its_urls(tmp_path: Path) -> None:
    files, made = layout_files(spec(HOST))
    manifest = json.loads(files.pop(blob_path(made[0].manifest)))  # type: ignore[arg-type]
    layer = manifest["layers"][0]
    layer["mediaType"] = LAYER.replace("layer.v1", "layer.nondistributable.v1") + "+gzip"
    layer["urls"] = ["https://example.com/layer"]
    files["index.json"] = index_bytes([add_blob(files, dumps(manifest), OCI + "manifest.v1+json")])
    write_directory(tmp_path, files)

    assert str(image(tmp_path).layers[0].descriptor.digest) == made[0].layers[0]
    blob_of(tmp_path, made[0].layers[0]).unlink()
    error = refusal(tmp_path)
    assert isinstance(error, BlobMissing)
    assert error.urls == ("https://example.com/layer",)
    assert "https://example.com/layer" in str(error)


@pytest.mark.parametrize("stated", [True, False])
def test_a_huge_document_is_refused_before_it_is_read(tmp_path: Path, stated: bool) -> None:
    files, made = layout_files(spec(HOST))
    size = 1 << 40 if stated else 300
    entry = {"mediaType": OCI + "manifest.v1+json", "digest": made[0].manifest, "size": size}
    files["index.json"] = index_bytes([entry])
    write_directory(tmp_path, files)
    with blob_of(tmp_path, made[0].manifest).open("r+b") as blob:
        blob.truncate(1 << 40)
    error = refusal(tmp_path)
    assert isinstance(error, UnsupportedImage if stated else SizeMismatch)
    assert str(MAX_DOCUMENT_SIZE if stated else 300) in str(error)


def test_a_manifest_that_its_descriptor_calls_an_index_is_refused(tmp_path: Path) -> None:
    files, made = layout_files(spec(HOST))
    data = files[blob_path(made[0].manifest)]
    files["index.json"] = index_bytes([{"mediaType": INDEX, "digest": made[0].manifest, "size": len(data)}])  # type: ignore[arg-type]
    write_directory(tmp_path, files)
    assert isinstance(refusal(tmp_path), MalformedDocument)


def test_a_config_with_other_layers_than_the_manifest_is_refused(tmp_path: Path) -> None:
    files, made = layout_files(spec(HOST))
    manifest = json.loads(files.pop(blob_path(made[0].manifest)))  # type: ignore[arg-type]
    manifest["layers"] *= 2
    files["index.json"] = index_bytes([add_blob(files, dumps(manifest), OCI + "manifest.v1+json")])
    write_directory(tmp_path, files)
    error = refusal(tmp_path)
    assert isinstance(error, MalformedDocument)
    assert error.path == "$.rootfs.diff_ids"


def test_an_image_whose_config_states_no_platform_is_for_any(tmp_path: Path) -> None:
    files, made = layout_files(spec("linux/amd64"))
    write_directory(tmp_path, files)
    config = json.loads(blob_of(tmp_path, made[0].config).read_bytes())
    manifest = json.loads(blob_of(tmp_path, made[0].manifest).read_bytes())
    manifest["config"] = add_blob(files, dumps({**config, "os": "", "architecture": ""}), OCI + "config.v1+json")
    files["index.json"] = index_bytes([add_blob(files, dumps(manifest), OCI + "manifest.v1+json")])
    write_directory(tmp_path / "again", files)
    assert image(tmp_path / "again", ABSENT).config.architecture == ""
