"""Which image of a `docker save` archive a reference names, and what of it is believed."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.images import (
    COMPRESS,
    LAYER,
    Files,
    Link,
    Spec,
    config_bytes,
    digest,
    docker_files,
    dumps,
    write_tar,
)
from support.remote import listen_to
from support.tars import file, symlink, tar

from builder.errors import (
    BlobMissing,
    BuilderError,
    DigestMismatch,
    ImageNotFound,
    InvalidReference,
    MalformedDocument,
    UnsafeFile,
    UnsupportedImage,
)
from builder.image.image import Image
from builder.sources import open_source
from builder.sources.access import Means
from builder.sources.resolve import resolve

BASE = tar(file("base", b"base"))
ONE = Spec((BASE, tar(file("one", b"one"))), tag="busybox:latest")
TWO = Spec((BASE, tar(file("two", b"two"))), tag="example.com:5000/two:2")


def image(path: Path, choice: str = "") -> Image:
    reference = f"docker-archive:{path}{choice}"
    with closing(open_source(reference)) as source:
        return resolve(source, reference, None)


def refusal(path: Path, choice: str = "") -> BuilderError:
    with pytest.raises(BuilderError) as caught:
        image(path, choice)
    return caught.value


def config_digest(spec: Spec) -> str:
    return digest(config_bytes(spec))


def write(
    path: Path,
    *specs: Spec,
    style: str = "old",
    change: Callable[[Files, list[dict[str, Any]]], object] | None = None,
) -> Path:
    """Write an archive, after `change` had its way with the files and the rows of manifest.json."""
    files, _ = docker_files(*specs, style=style)
    manifest = files["manifest.json"]
    assert isinstance(manifest, bytes)
    rows = json.loads(manifest)
    if change is not None:
        change(files, rows)
    files["manifest.json"] = dumps(rows)
    return write_tar(path / "saved.tar", files)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (":busybox:latest", ONE),
        (":busybox", ONE),
        (":docker.io/library/busybox:latest", ONE),
        (":index.docker.io/library/busybox", ONE),
        (":docker.io/busybox", ONE),
        (":example.com:5000/two:2", TWO),
        (":@0", ONE),
        (":@1", TWO),
    ],
)
def test_name_and_position_choose(tmp_path: Path, choice: str, expected: Spec) -> None:
    assert str(image(write(tmp_path, ONE, TWO), choice).config_digest) == config_digest(expected)


def test_several_images_and_none_named_lists_them(tmp_path: Path) -> None:
    error = refusal(write(tmp_path, ONE, TWO))
    assert isinstance(error, InvalidReference)
    assert error.reason == (
        "names several images; choose one of these: busybox:latest, example.com:5000/two:2; "
        "or choose by position, from :@0 on"
    )


@pytest.mark.parametrize("choice", [":busybox:1", ":library/busybox:1", ":example.com:5000/two", ":two:2", ":@2"])
def test_a_name_that_is_not_there_lists_those_that_are(tmp_path: Path, choice: str) -> None:
    error = refusal(write(tmp_path, ONE, TWO), choice)
    assert isinstance(error, ImageNotFound)
    assert "choose one of these: busybox:latest, example.com:5000/two:2" in error.reason


@pytest.mark.parametrize("listed", [b"null", b"[]"])
def test_a_list_of_no_images_says_so(tmp_path: Path, listed: bytes) -> None:
    error = refusal(write_tar(tmp_path / "saved.tar", {"manifest.json": listed}))
    assert isinstance(error, ImageNotFound)
    assert error.reason == "its manifest.json lists no image; save the image again"


def test_several_names_of_one_image_are_no_choice(tmp_path: Path) -> None:
    def name(files: Files, rows: list[dict[str, Any]]) -> None:
        rows[0]["RepoTags"] = ["a:1", "b:2"]

    path = write(tmp_path, ONE, change=name)
    assert [str(image(path, choice).config_digest) for choice in ("", ":a:1", ":b:2")] == [config_digest(ONE)] * 3


def test_an_image_without_a_name_is_taken_if_it_is_the_only_one(tmp_path: Path) -> None:
    spec = Spec(ONE.layers, tag=None)
    assert str(image(write(tmp_path, spec)).config_digest) == config_digest(spec)


def test_a_digest_is_refused_because_docker_keeps_none(tmp_path: Path) -> None:
    error = refusal(write(tmp_path, ONE), f"@{config_digest(ONE)}")
    assert isinstance(error, InvalidReference)
    assert "keeps no manifest digests" in error.reason


def test_the_manifest_is_put_together_from_the_config(tmp_path: Path) -> None:
    made = image(write(tmp_path, ONE))
    assert made.digest is None
    assert [layer.media_type for layer in made.manifest.layers] == [LAYER, LAYER]
    assert [str(layer.digest) for layer in made.manifest.layers] == [digest(layer) for layer in ONE.layers]
    assert [layer.size for layer in made.manifest.layers] == [len(layer) for layer in ONE.layers]


def test_compressed_layers_keep_their_own_digest(tmp_path: Path) -> None:
    files, made = docker_files(Spec(ONE.layers, tag="a:1", compression="zstd"), style="new")
    result = image(write_tar(tmp_path / "saved.tar", files))
    assert [layer.media_type for layer in result.manifest.layers] == [f"{LAYER}+zstd"] * 2
    assert [str(layer.digest) for layer in result.manifest.layers] == list(made[0].layers)


def test_a_config_under_the_name_of_another_digest_is_taken_and_that_is_said(tmp_path: Path) -> None:
    def rename(files: Files, rows: list[dict[str, Any]]) -> None:
        other = f"{'0' * 64}.json"
        files[other] = files.pop(rows[0]["Config"])
        rows[0]["Config"] = other

    place = write(tmp_path, ONE, change=rename)
    heard: list[str] = []
    with closing(open_source(f"docker-archive:{place}", means=Means(listen=listen_to(heard)))) as source:
        assert str(resolve(source, "it", None).config_digest) == config_digest(ONE)
    assert heard == [f"image config {place}/{'0' * 64}.json has the digest {config_digest(ONE)}, not that of its name"]


def test_a_config_of_a_layout_is_what_its_name_says(tmp_path: Path) -> None:
    def swap(files: Files, rows: list[dict[str, Any]]) -> None:
        files[rows[0]["Config"]] = config_bytes(TWO)
        del files["oci-layout"]

    error = refusal(write(tmp_path, ONE, style="new", change=swap))
    assert isinstance(error, DigestMismatch)
    assert (error.expected, error.actual) == (config_digest(ONE), config_digest(TWO))


def test_a_config_under_any_other_name_is_taken_as_it_is(tmp_path: Path) -> None:
    def rename(files: Files, rows: list[dict[str, Any]]) -> None:
        files["config.json"] = files.pop(rows[0]["Config"])
        rows[0]["Config"] = "config.json"

    assert str(image(write(tmp_path, ONE, change=rename)).config_digest) == config_digest(ONE)


def test_more_layers_than_diff_ids_are_refused(tmp_path: Path) -> None:
    def double(files: Files, rows: list[dict[str, Any]]) -> None:
        rows[0]["Layers"] *= 2

    error = refusal(write(tmp_path, ONE, change=double))
    assert isinstance(error, MalformedDocument)
    assert (error.path, error.reason) == ("$[0].Layers", "has 4 entries, but the config has 2 diff_ids")


@pytest.mark.parametrize("key", ["Config", "Layers"])
def test_a_file_that_is_missing_is_named(tmp_path: Path, key: str) -> None:
    def remove(files: Files, rows: list[dict[str, Any]]) -> None:
        del files[rows[0][key] if key == "Config" else rows[0][key][1]]

    error = refusal(write(tmp_path, ONE, change=remove))
    assert isinstance(error, BlobMissing)
    assert f"{tmp_path}/saved.tar/" in error.what


def test_an_image_that_cannot_be_read_spoils_no_other(tmp_path: Path) -> None:
    def spoil(_files: Files, rows: list[dict[str, Any]]) -> None:
        rows[0]["Layers"] = "layer.tar"
        rows[1]["RepoTags"] = ["localhost/two", None]

    path = write(tmp_path, ONE, TWO, change=spoil)
    for choice in ("", ":localhost/two", ":@1"):
        assert str(image(path, choice).config_digest) == config_digest(TWO)
    for choice in (":busybox", ":@0"):
        error = refusal(path, choice)
        assert isinstance(error, MalformedDocument)
        assert error.path == "$[0].Layers"
    assert isinstance(refusal(path, ":@2"), ImageNotFound)
    heard: list[str] = []
    with closing(open_source(f"docker-archive:{path}", means=Means(listen=listen_to(heard)))) as source:
        resolve(source, "it", None)
    (said,) = heard
    assert said.startswith(f"{path}/manifest.json: 1 image that cannot be read is passed over: $[0].Layers expected")


def test_a_layer_that_is_a_link_out_of_the_archive_is_refused(tmp_path: Path) -> None:
    def link(files: Files, rows: list[dict[str, Any]]) -> None:
        files[rows[0]["Layers"][0]] = Link("../../layer.tar")

    assert isinstance(refusal(write(tmp_path, ONE, change=link)), UnsafeFile)


def test_archives_of_very_old_docker_are_refused_with_the_remedy(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "saved.tar", {"repositories": b"{}", "0123/layer.tar": BASE, "0123/json": b"{}"})
    error = refusal(path)
    assert isinstance(error, UnsupportedImage)
    assert error.reason == "was saved by a Docker older than 1.10; load it into a newer one and save it again"


def test_a_tar_without_manifest_says_what_was_looked_for(tmp_path: Path) -> None:
    error = refusal(write_tar(tmp_path / "saved.tar", {"etc/hosts": b""}))
    assert isinstance(error, ImageNotFound)
    assert "no manifest.json" in error.reason


@pytest.mark.parametrize(
    ("manifest", "path"),
    [
        (b"1", "$"),
        (b"[{}]", "$[0].Config"),
        (b'[{"Config": "c\\u001b[31m", "Layers": []}]', "$[0]"),
        (b'[{"Config": "c", "Layers": ["l", "l\\n"]}]', "$[0]"),
        (b'[{"Config": "c", "Layers": "l"}]', "$[0].Layers"),
        (b'[{"Config": "c", "Config": "d"}]', "$[0].Config"),
        (b'[{"Config": "c", "config": "d"}]', "$[0].config"),
        (b"[null]", "$[0]"),
        (b'[], "more": []', "$"),
        (b'[{"Config": "c", "Layers": ["./a/../../layer.tar"]}]', "$[0]"),
        (b'[], "images": []', "$"),
        (b"[", "$"),
        (b"\xff", "$"),
    ],
)
def test_a_malformed_manifest_is_refused_by_its_json_path(tmp_path: Path, manifest: bytes, path: str) -> None:
    error = refusal(write_tar(tmp_path / "saved.tar", {"manifest.json": manifest}))
    assert isinstance(error, MalformedDocument)
    assert (error.document, error.path) == (f"{tmp_path}/saved.tar/manifest.json", path)


def test_an_image_without_layers_is_an_image(tmp_path: Path) -> None:
    def null(files: Files, rows: list[dict[str, Any]]) -> None:
        rows[0]["Layers"] = None

    assert image(write(tmp_path, Spec((), tag="empty:1"), change=null)).layers == ()


@pytest.mark.parametrize("outer", ["none", "gzip"])
def test_a_layer_that_stands_in_the_archive_twice_is_one_layer(tmp_path: Path, outer: str) -> None:
    """As writers of several images left it, once for each of them."""
    twice = tmp_path / "twice.tar"
    saved = docker_files(ONE, TWO)[0].items()
    members = [symlink(name, each.target) if isinstance(each, Link) else file(name, each) for name, each in saved]
    twice.write_bytes(COMPRESS[outer](tar(*members, *members)))
    for name, spec in ((":busybox", ONE), (":example.com:5000/two:2", TWO)):
        assert str(image(twice, name).config_digest) == config_digest(spec)


def test_a_name_with_two_contents_is_said_to_be_that_and_not_called_damage(tmp_path: Path) -> None:
    path = tmp_path / "saved.tar"
    path.write_bytes(tar(file("manifest.json", b"[]"), file("manifest.json", b"[{}]")))
    assert str(refusal(path)) == (
        f"{path}: entry 'manifest.json': the archive has two entries of this name, with different content; "
        "export the image again, or make one of a tree of files with podman import or docker import"
    )
