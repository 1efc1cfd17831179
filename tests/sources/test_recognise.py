"""Plain paths: told by what is there."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from support.images import Link, Spec, docker_files, dumps, layout, oci_archive, write_directory, write_tar
from support.tars import file, tar

from builder.errors import ImageNotFound, MalformedDocument, UnsafeFile, UnsupportedImage
from builder.image.media_types import OCI_INDEX
from builder.sources import open_source
from builder.sources.docker_archive import DockerArchive
from builder.sources.oci import OciLayout
from builder.sources.resolve import resolve

IMAGE = Spec((tar(file("content", b"content")),), tag="example:1")


def test_a_layout_and_an_oci_archive_are_layouts(tmp_path: Path) -> None:
    layout(tmp_path / "layout", IMAGE)
    oci_archive(tmp_path / "image.tar", IMAGE, outer="zstd")
    for name in ("layout", "image.tar"):
        with closing(open_source(str(tmp_path / name))) as source:
            assert isinstance(source, OciLayout)


def test_what_docker_saves_is_a_docker_archive_packed_or_not(tmp_path: Path) -> None:
    files, _ = docker_files(IMAGE)
    write_directory(tmp_path / "saved", files)
    write_tar(tmp_path / "saved.tar", files)
    for name in ("saved", "saved.tar"):
        with closing(open_source(str(tmp_path / name))) as source:
            assert isinstance(source, DockerArchive)


def test_what_is_both_is_a_layout_and_keeps_the_manifest_digest(tmp_path: Path) -> None:
    files, made = docker_files(IMAGE, style="new")
    path = write_tar(tmp_path / "saved.tar", files)
    with closing(open_source(f"{path}:example:1")) as source:
        assert str(resolve(source, "reference", None).digest) == made[0].manifest


@pytest.mark.parametrize("missing", ["oci-layout", "index.json"])
def test_half_a_layout_with_a_manifest_json_is_a_docker_archive(tmp_path: Path, missing: str) -> None:
    files, _ = docker_files(IMAGE, style="new")
    del files[missing]
    with closing(open_source(str(write_tar(tmp_path / "saved.tar", files)))) as source:
        assert isinstance(source, DockerArchive)


@pytest.mark.parametrize("manifests", [None, []])
def test_a_layout_that_lists_nothing_beside_a_manifest_json_is_a_docker_archive(
    tmp_path: Path, manifests: list[object] | None
) -> None:
    # Docker 25.0 wrote it so of an image without a name.
    files, made = docker_files(Spec(IMAGE.layers, tag=None), style="new")
    files["index.json"] = dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests})
    with closing(open_source(str(write_tar(tmp_path / "saved.tar", files)))) as source:
        assert str(resolve(source, "reference", None).config_digest) == made[0].config


@pytest.mark.parametrize("index", [b"{", b'{"schemaVersion": 2, "manifests": [{}]}'])
def test_a_layout_that_cannot_be_read_is_one_all_the_same(tmp_path: Path, index: bytes) -> None:
    files, _ = docker_files(IMAGE, style="new")
    files["index.json"] = index
    with (
        closing(open_source(str(write_tar(tmp_path / "saved.tar", files)))) as source,
        pytest.raises(MalformedDocument, match=r"index.json at \$"),
    ):
        resolve(source, "reference", None)


def test_very_old_docker_archives_are_recognised_to_be_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "saved.tar", {"repositories": b"{}"})
    with closing(open_source(str(path))) as source, pytest.raises(UnsupportedImage):
        source.root()


def test_anything_else_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    write_tar(tmp_path / "other.tar", {"etc/hosts": b""})
    for place in (tmp_path, tmp_path / "file", tmp_path / "other.tar"):
        with pytest.raises(ImageNotFound) as caught:
            open_source(str(place))
        assert str(caught.value) == (
            f"{place}: is no image: at its top there is no oci-layout with index.json (an OCI image layout) or "
            "manifest.json with one image's manifest (what skopeo calls dir:) or "
            "manifest.json (what docker save writes); "
            "make one of a tree of files with podman import or docker import"
        )


def test_a_path_to_nothing_that_could_be_an_images_name_says_how_to_write_that(tmp_path: Path) -> None:
    nothing = "there is no such file; check the path"
    for text, reason in {
        "quay.io/app:1": f"{nothing}, or write docker://quay.io/app:1 for an image in a registry",
        f"{tmp_path}/Nothing": nothing,
    }.items():
        with pytest.raises(ImageNotFound) as caught:
            open_source(text)
        assert caught.value.reason == reason


def test_a_marker_that_is_a_link_out_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"{}")
    write_directory(tmp_path / "layout", {"oci-layout": Link("../elsewhere")})
    with pytest.raises(UnsafeFile):
        open_source(str(tmp_path / "layout"))
