"""Documents that are odd where no disk depends on it: the image is read, and what was overlooked is said once."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.documents import Json
from support.images import (
    LAYER,
    OCI,
    Spec,
    add_blob,
    add_image,
    bytes_of,
    dumps,
    index_bytes,
    layout_files,
    write_directory,
)
from support.remote import listen_to
from support.tars import file, tar

from builder.actions.pull import pull
from builder.errors import BuilderError, ImageNotFound, MalformedDocument, PlatformNotFound, UnsupportedImage
from builder.image.image import Image
from builder.image.media_types import DOCKER_CONFIG, DOCKER_LAYER_GZIP, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from builder.image.name import ImageName
from builder.image.platform import Platform
from builder.sources import open_source
from builder.sources.access import Access, Means
from builder.sources.resolve import resolve

IMAGE = Spec((tar(file("hello", b"hello\n")),))
AMD, ARM = Platform("linux", "amd64"), Platform("linux", "arm64")
ABSENT = {"mediaType": OCI_MANIFEST, "digest": f"sha256:{'0' * 64}", "size": 5}


def read(reference: str, platform: Platform | None = None, heard: list[str] | None = None) -> Image:
    listen = listen_to([] if heard is None else heard)
    with closing(open_source(reference, means=Means(listen=listen))) as source:
        return resolve(source, reference, platform, listen)


def refused(reference: str, platform: Platform | None = None) -> BuilderError:
    with pytest.raises(BuilderError) as caught:
        read(reference, platform)
    return caught.value


def with_config(place: Path, more: Json, *without: str) -> str:
    """Write a layout whose image has a config with some more to say, or less."""
    files, _ = layout_files(IMAGE)
    (entry,) = json.loads(bytes_of(files["index.json"]))["manifests"]
    manifest = json.loads(bytes_of(files[path_of(entry)]))
    config = json.loads(bytes_of(files[path_of(manifest["config"])])) | more
    config = {key: value for key, value in config.items() if key not in without}
    manifest["config"] = add_blob(files, dumps(config), OCI + "config.v1+json")
    files["index.json"] = index_bytes([add_blob(files, dumps(manifest), OCI_MANIFEST)])
    return f"oci:{write_directory(place / 'layout', files)}"


def path_of(descriptor: Json) -> str:
    return "blobs/" + str(descriptor["digest"]).replace(":", "/")


@pytest.mark.parametrize(
    ("more", "without", "overlooked"),
    [
        ({"config": {"Labels": {"build": None}}}, (), None),
        ({"config": {"Entrypoint": "/init"}}, (), None),
        ({}, ("os", "architecture"), None),
        ({"rootfs": {"diff_ids": [f"sha256:{'0' * 64}"]}}, (), None),
        ({"config": {"cmd": ["sh"]}}, (), "letter case is ignored, as Docker does, in $.config.cmd"),
        (
            {"config": {"ExposedPorts": {"8080/http": {}, "x": {}}}, "history": [None]},
            (),
            "3 values are left out, as no disk depends on it: $.history[0] and 2 more",
        ),
    ],
)
def test_an_odd_config_is_read_and_that_is_said_once(
    tmp_path: Path, more: Json, without: tuple[str, ...], overlooked: str | None
) -> None:
    reference = with_config(tmp_path, more, *without)
    heard: list[str] = []
    image = read(reference, AMD, heard)
    name = f"{reference}: image config {image.config_digest}"
    assert heard == ([] if overlooked is None else [f"{name}: {overlooked}"])
    said: list[str] = []
    access = Access(store=str(tmp_path / "store"))
    pull(reference, access, name=ImageName.parse("localhost/a"), platforms=[AMD, AMD], listen=listen_to(said))
    assert said == heard


@pytest.mark.parametrize("layers", [{"layers": None}, {}])
def test_an_image_from_scratch_has_no_layers_however_that_is_written(tmp_path: Path, layers: Json) -> None:
    files, _ = layout_files()
    config = add_blob(files, dumps({"os": "linux", "architecture": "amd64", "rootfs": None}), OCI + "config.v1+json")
    manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, **layers}
    files["index.json"] = index_bytes([add_blob(files, dumps(manifest), OCI_MANIFEST)])
    assert read(f"oci:{write_directory(tmp_path / 'layout', files)}").layers == ()


ODD: dict[str, Json] = {
    "no platform": ABSENT | {"platform": {}},
    "no os": ABSENT | {"platform": {"architecture": "wasm"}},
    "algorithm": ABSENT | {"digest": f"blake3:{'0' * 64}", "platform": {"os": "linux", "architecture": "arm64"}},
    "no size": {"mediaType": OCI_MANIFEST, "platform": {"os": "linux", "architecture": "arm64"}, "digest": "?"},
}


def with_entries(place: Path, *odd: Any, nested: bool) -> str:
    """Write a layout with the image for amd64 among odd entries: of an index, or of index.json itself."""
    files, _ = layout_files()
    entry = add_image(files, IMAGE)[1] | {"platform": {"os": "linux", "architecture": "amd64"}}
    entries = [odd[0], entry, *odd[1:]]
    files["index.json"] = index_bytes([add_blob(files, index_bytes(entries), OCI_INDEX)] if nested else entries)
    return f"oci:{write_directory(place / 'layout', files)}"


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("odd", ODD)
def test_an_entry_for_others_that_is_odd_spoils_no_other(tmp_path: Path, odd: str, nested: bool) -> None:
    reference = with_entries(tmp_path, ODD[odd], nested=nested)
    heard: list[str] = []
    assert read(reference, AMD, heard).config.platform == AMD
    unreadable = odd in ("algorithm", "no size")
    assert len([each for each in heard if "1 entry that cannot be read is passed over: $.manifests[0]." in each]) == (
        1 if unreadable else 0
    )


@pytest.mark.parametrize("odd", ["algorithm", "no size"])
def test_an_entry_that_cannot_be_read_is_refused_when_it_is_the_one_that_was_asked_for(
    tmp_path: Path, odd: str
) -> None:
    error = refused(with_entries(tmp_path, ODD[odd], nested=True), ARM)
    assert isinstance(error, MalformedDocument)
    assert error.path.startswith("$.manifests[0].")
    assert isinstance(
        refused(with_entries(tmp_path / "other", ODD[odd], nested=True), Platform("linux", "s390x")), PlatformNotFound
    )


def test_an_image_that_cannot_be_read_among_layers_is_refused_for_that_and_not_taken_for_a_cache(
    tmp_path: Path,
) -> None:
    files, _ = layout_files()
    entries = [add_blob(files, b"layer", LAYER), ODD["no size"]]
    files["index.json"] = index_bytes([add_blob(files, index_bytes(entries), OCI_INDEX)])
    reference = f"oci:{write_directory(tmp_path / 'layout', files)}"
    assert isinstance(refused(reference, ARM), MalformedDocument)
    assert isinstance(refused(reference, AMD), UnsupportedImage)


def test_tags_and_positions_count_entries_that_cannot_be_read(tmp_path: Path) -> None:
    named = {"annotations": {"org.opencontainers.image.ref.name": "broken"}}
    place = with_entries(tmp_path, {"size": 1, **named}, {}, nested=False)
    for choice in (":broken", ":@0", ":@2"):
        assert isinstance(refused(f"{place}{choice}"), MalformedDocument)
    assert read(f"{place}:@1").config.platform == AMD
    error = refused(f"{place}:@3")
    assert isinstance(error, ImageNotFound)
    assert error.reason == "index.json has 3 entries, counted from 0"
    assert isinstance(refused(f"{place}:other"), ImageNotFound)


def test_a_layout_of_nothing_but_what_cannot_be_read_is_refused_for_that(tmp_path: Path) -> None:
    files, _ = layout_files()
    files["index.json"] = index_bytes([{"size": 1}])
    assert isinstance(refused(f"oci:{write_directory(tmp_path / 'layout', files)}"), MalformedDocument)


@pytest.mark.parametrize("media_type", ["application/octet-stream", "application/json", "text/html", ""])
def test_an_image_of_old_docker_can_be_built_and_pulled(tmp_path: Path, media_type: str) -> None:
    files, _ = layout_files()
    _, entry = add_image(files, IMAGE)
    manifest = json.loads(bytes_of(files[path_of(entry)]))
    manifest["mediaType"], manifest["config"]["mediaType"] = DOCKER_MANIFEST, media_type
    manifest["layers"][0]["mediaType"] = DOCKER_LAYER_GZIP
    files["index.json"] = index_bytes([add_blob(files, dumps(manifest), DOCKER_MANIFEST)])
    reference = f"oci:{write_directory(tmp_path / 'layout', files)}"
    image = read(reference)
    assert image.manifest.config.media_type == DOCKER_CONFIG
    access = Access(store=str(tmp_path / "store"))
    pull(reference, access, name=ImageName.parse("localhost/old"))
    with closing(open_source("store:localhost/old", access)) as source:
        assert resolve(source, "it", None).config == image.config


def test_an_artifact_stays_refused_and_what_only_calls_itself_one_is_an_image(tmp_path: Path) -> None:
    files, _ = layout_files()
    _, entry = add_image(files, IMAGE)
    manifest = json.loads(bytes_of(files[path_of(entry)])) | {"artifactType": "application/vnd.example.app"}
    for name, config in (("image", OCI + "config.v1+json"), ("artifact", "application/vnd.oci.empty.v1+json")):
        manifest["config"]["mediaType"] = config
        described = add_blob(files, dumps(manifest), OCI_MANIFEST) | {"artifactType": "application/vnd.example.app"}
        files["index.json"] = index_bytes([add_blob(files, index_bytes([described]), OCI_INDEX)])
        reference = f"oci:{write_directory(tmp_path / name, files)}"
        if name == "image":
            assert read(reference).config.platform == AMD
        else:
            error = refused(reference)
            assert isinstance(error, UnsupportedImage)
            assert error.reason == "is an artifact of type 'application/vnd.example.app', not an image"
