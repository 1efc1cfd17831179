"""`dir:DIR`, which skopeo writes: the image's manifest, and blobs by the hex of their digests."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from support.images import Files, Spec, bytes_of, dir_files, dumps, layout, write_directory, write_tar
from support.registry import skopeo_copy
from support.tars import file, tar

from builder.errors import (
    BuilderError,
    DigestMismatch,
    ImageNotFound,
    InvalidReference,
    MalformedDocument,
    UnsafeFile,
    UnsupportedImage,
)
from builder.image.digest import Digest
from builder.image.image import Image
from builder.image.platform import Platform
from builder.sources import open_source
from builder.sources.resolve import resolve

IMAGE = Spec((tar(file("content", b"content")),))
ARM = replace(IMAGE, platform="linux/arm64", layers=(tar(file("content", b"arm")),))


def read(reference: str, platform: Platform | None = None) -> Image:
    with closing(open_source(reference)) as source:
        image = resolve(source, reference, platform)
        for layer in image.layers:
            with source.open(layer.descriptor) as blob:
                assert Digest.of(blob.read(), layer.descriptor.digest.algorithm) == layer.descriptor.digest
        return image


def refused(reference: str) -> BuilderError:
    with pytest.raises(BuilderError) as caught:
        read(reference)
    return caught.value


@pytest.mark.parametrize("reference", ["dir:{}", "{}"])
def test_the_manifest_is_the_images_own(tmp_path: Path, reference: str) -> None:
    files, made = dir_files(IMAGE)
    assert str(read(reference.format(write_directory(tmp_path / "dir", files))).digest) == made[0].manifest


def test_what_skopeo_writes_is_read_and_what_it_did_not_copy_is_missed(tmp_path: Path) -> None:
    made = layout(tmp_path / "layout", IMAGE, ARM, nested="all")
    skopeo_copy(f"oci:{tmp_path}/layout:all", f"dir:{tmp_path}/dir")
    for number, architecture in enumerate(("amd64", "arm64")):
        image = read(f"dir:{tmp_path}/dir", Platform("linux", architecture))
        assert str(image.digest) == made[number].manifest
    (tmp_path / "dir" / made[1].layers[0][7:]).unlink()
    with pytest.raises(BuilderError, match=f"looked for at {tmp_path}/dir/{made[1].layers[0][7:]}: the blob is not"):
        read(f"dir:{tmp_path}/dir", Platform("linux", "arm64"))


@pytest.mark.parametrize("suffix", [".tar", ""])
def test_blobs_of_the_first_version_end_in_tar(tmp_path: Path, suffix: str) -> None:
    files, made = dir_files(IMAGE)
    renamed: Files = {f"{name}{suffix}" if len(name) == 64 else name: content for name, content in files.items()}
    assert str(read(f"dir:{write_directory(tmp_path / 'dir', renamed)}").digest) == made[0].manifest


def test_blobs_with_other_digests_have_the_algorithm_before_them(tmp_path: Path) -> None:
    files, made = dir_files(IMAGE)
    old, layer = made[0].layers[0], bytes_of(files.pop(made[0].layers[0][7:]))
    digest = Digest.of(layer, "sha512")
    manifest = bytes_of(files["manifest.json"]).replace(old.encode(), str(digest).encode())
    files |= {"manifest.json": manifest, f"sha512-{digest.hex}": layer}
    assert read(f"dir:{write_directory(tmp_path / 'dir', files)}").layers[0].descriptor.digest == digest


def test_a_directory_holds_one_image_without_a_tag(tmp_path: Path) -> None:
    place = write_directory(tmp_path / "dir", dir_files(IMAGE)[0])
    for choice in (":latest", ":@0"):
        error = refused(f"dir:{place}{choice}")
        assert isinstance(error, InvalidReference)
        assert error.reason == "the directory holds one image, without a tag; leave the tag out"


def test_a_digest_names_the_manifest_or_one_of_its_images(tmp_path: Path) -> None:
    files, made = dir_files(IMAGE, ARM, nested=True)
    place = write_directory(tmp_path / "dir", files)
    assert str(read(f"dir:{place}@{made[1].manifest}").digest) == made[1].manifest
    whole = Digest.of(bytes_of(files["manifest.json"]))
    assert str(read(f"dir:{place}@{whole}", Platform("linux", "amd64")).digest) == made[0].manifest
    absent = Digest.of(b"absent")
    assert str(refused(f"dir:{place}@{absent}")) == (f"dir:{place}@{absent}: {place} holds no manifest of that digest")


def test_an_images_manifest_is_what_its_digest_says(tmp_path: Path) -> None:
    files, made = dir_files(IMAGE, ARM, nested=True)
    name = f"{made[1].manifest[7:]}.manifest.json"
    files[name] = bytes_of(files[name]) + b" "
    place = write_directory(tmp_path / "dir", files)
    assert refused(f"dir:{place}@{made[1].manifest}").exit_status == 3
    files[name] = bytes_of(files[name])[:-2] + b" }"
    place = write_directory(tmp_path / "other", files)
    assert isinstance(refused(f"dir:{place}@{made[1].manifest}"), DigestMismatch)


def test_a_directory_without_a_manifest_says_what_it_lacks(tmp_path: Path) -> None:
    error = refused(f"dir:{tmp_path}")
    assert isinstance(error, ImageNotFound)
    assert str(error) == f"{tmp_path}: it has no manifest.json, so skopeo did not write it; for a layout write oci:DIR"


def test_what_docker_save_wrote_is_said_to_be_that(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(b' [{"Config":"c.json"}]')
    error = refused(f"dir:{tmp_path}")
    assert isinstance(error, ImageNotFound)
    assert error.reason == "its manifest.json is a list, so docker save wrote this; write the path alone"


def test_a_manifest_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(b"3")
    assert isinstance(refused(f"dir:{tmp_path}"), MalformedDocument)
    (tmp_path / "manifest.json").write_bytes(dumps({"schemaVersion": 1, "fsLayers": []}))
    assert isinstance(refused(str(tmp_path)), UnsupportedImage)


def test_a_blob_that_is_a_link_out_of_the_directory_is_refused(tmp_path: Path) -> None:
    files, made = dir_files(IMAGE)
    place = write_directory(tmp_path / "dir", files)
    (place / made[0].config[7:]).rename(tmp_path / "config")
    (place / made[0].config[7:]).symlink_to("../config")
    assert isinstance(refused(f"dir:{place}"), UnsafeFile)


@pytest.mark.parametrize("reference", ["docker-archive:{}", "{}"])
def test_a_tar_of_such_a_directory_is_an_image_or_said_to_be_no_docker_archive(tmp_path: Path, reference: str) -> None:
    files, made = dir_files(IMAGE)
    text = reference.format(write_tar(tmp_path / "dir.tar", files))
    if reference == "{}":
        assert str(read(text).digest) == made[0].manifest
        return
    error = refused(text)
    assert isinstance(error, ImageNotFound)
    assert error.reason == "its manifest.json is one image's, so this is skopeo's dir:; write the path alone"
