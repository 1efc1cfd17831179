"""Which image of a layout a reference names."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.images import OCI, TAG, Files, Spec, add_blob, add_image, dumps, index_bytes, layout_files, write_directory
from support.tars import file, tar

from builder.errors import BuilderError, ImageNotFound, InvalidReference, MalformedDocument, UnsupportedImage
from builder.image.document import MAX_DOCUMENT_SIZE
from builder.image.platform import Platform
from builder.sources import open_source
from builder.sources.resolve import resolve

CONTAINERD_NAME = "io.containerd.image.name"


def spec(content: str, tag: str | None = None, platform: str = "linux/amd64") -> Spec:
    return Spec((tar(file("content", content.encode())),), tag=tag, platform=platform)


def config_digest(path: Path, choice: str = "", platform: str | None = None) -> str:
    reference = f"oci:{path}{choice}"
    with closing(open_source(reference)) as source:
        return str(resolve(source, reference, Platform.parse(platform) if platform else None).config_digest)


def refusal(path: Path, choice: str = "") -> BuilderError:
    with pytest.raises(BuilderError) as caught:
        config_digest(path, choice)
    return caught.value


def write(path: Path, *specs: Spec, nested: str | None = None) -> list[str]:
    """Write a layout and return the config digests of its images."""
    files, made = layout_files(*specs, nested=nested)
    write_directory(path, files)
    return [image.config for image in made]


def write_entries(path: Path, *entries: tuple[Spec, dict[str, str]]) -> list[str]:
    """Write a layout whose entries have the annotations given."""
    files: Files = {"oci-layout": dumps({"imageLayoutVersion": "1.0.0"})}
    made, rows = [], []
    for image, names in entries:
        written, entry = add_image(files, image)
        made.append(written.config)
        rows.append({**entry, "annotations": names})
    files["index.json"] = index_bytes(rows)
    write_directory(path, files)
    return made


def test_the_only_image_needs_no_tag(tmp_path: Path) -> None:
    (only,) = write(tmp_path, spec("a", "latest"))
    assert config_digest(tmp_path) == only


def test_the_only_image_may_have_no_tag(tmp_path: Path) -> None:
    (only,) = write(tmp_path, spec("a", None))
    assert config_digest(tmp_path) == only


@pytest.mark.parametrize("position", [0, 1, 2])
def test_tag_and_position_choose(tmp_path: Path, position: int) -> None:
    tags = ["1", "example.com/b:2", "c_c-3"]
    made = write(tmp_path, *(spec(tag, tag) for tag in tags))
    assert config_digest(tmp_path, f":{tags[position]}") == made[position]
    assert config_digest(tmp_path, f":@{position}") == made[position]


def test_several_tags_and_none_given_lists_them(tmp_path: Path) -> None:
    write(tmp_path, spec("a", "1"), spec("b", "2"), spec("c", None))
    error = refusal(tmp_path)
    assert isinstance(error, InvalidReference)
    assert error.reason == "names several images; choose one of these tags: 1, 2; or choose by position, from :@0 on"


def test_a_long_list_of_tags_is_cut_and_harmless(tmp_path: Path) -> None:
    write(tmp_path, spec("odd", "a\nb\x1b[31m"), *(spec(str(i), f"tag{i}") for i in range(30)))
    reason = str(refusal(tmp_path))
    assert r"a\nb\x1b[31m, tag0, " in reason
    assert reason.endswith("tag18 and 11 more; or choose by position, from :@0 on")
    assert reason.isprintable()


def test_a_tag_that_is_not_there_lists_those_that_are(tmp_path: Path) -> None:
    write(tmp_path, spec("a", "1"), spec("b", "2"))
    error = refusal(tmp_path, ":3")
    assert isinstance(error, ImageNotFound)
    assert "there is no such tag; choose one of these tags: 1, 2" in error.reason


def test_a_position_that_is_not_there_says_how_many_are(tmp_path: Path) -> None:
    write(tmp_path, spec("a", "1"), spec("b", "2"))
    error = refusal(tmp_path, ":@2")
    assert isinstance(error, ImageNotFound)
    assert error.reason == "index.json has 2 entries, counted from 0"


def test_a_layout_without_images_holds_none(tmp_path: Path) -> None:
    write(tmp_path)
    assert isinstance(refusal(tmp_path), ImageNotFound)


def test_what_helm_calls_an_image_in_a_registry_is_told_apart() -> None:
    with pytest.raises(ImageNotFound, match="no such directory; an image in a registry is docker://NAME"):
        open_source("oci://registry.invalid/team/app:1.0")


def test_two_tags_of_one_image_are_no_choice(tmp_path: Path) -> None:
    made = write_entries(tmp_path, (spec("a"), {TAG: "1"}), (spec("a"), {TAG: "latest"}))
    assert config_digest(tmp_path) == made[0]


def test_one_tag_on_several_platforms_is_one_image(tmp_path: Path) -> None:
    made = write(tmp_path, spec("x", "1", "linux/amd64"), spec("y", "1", "linux/arm64"), spec("z", "2", "linux/arm64"))
    assert config_digest(tmp_path, ":1", "linux/amd64") == made[0]
    assert config_digest(tmp_path, ":1", "linux/arm64") == made[1]


def test_an_index_json_that_is_itself_the_image_index(tmp_path: Path) -> None:
    made = write(tmp_path, spec("x", None, "linux/amd64"), spec("y", None, "linux/arm64"))
    assert config_digest(tmp_path, "", "linux/arm64") == made[1]


def test_one_tag_on_several_images_without_platforms_lists_digests(tmp_path: Path) -> None:
    write_entries(tmp_path, (spec("a"), {TAG: "1"}), (spec("b"), {TAG: "1"}))
    error = refusal(tmp_path, ":1")
    assert isinstance(error, InvalidReference)
    assert error.reason.count("sha256:") == 2


def test_containerd_names_choose_where_tags_are_equal(tmp_path: Path) -> None:
    made = write_entries(
        tmp_path,
        (spec("a"), {TAG: "latest", CONTAINERD_NAME: "docker.io/library/busybox:latest"}),
        (spec("b"), {TAG: "latest", CONTAINERD_NAME: "example.com/b:latest"}),
    )
    assert config_digest(tmp_path, ":docker.io/library/busybox:latest") == made[0]
    assert config_digest(tmp_path, ":busybox") == made[0]
    assert config_digest(tmp_path, ":example.com/b:latest") == made[1]
    assert "docker.io/library/busybox:latest, example.com/b:latest" in str(refusal(tmp_path, ":latest"))


def test_a_digest_names_an_entry_or_any_manifest_in_the_layout(tmp_path: Path) -> None:
    files, made = layout_files(spec("x", platform="linux/amd64"), spec("y", platform="linux/arm64"), nested="all")
    write_directory(tmp_path, files)
    index = json.loads((tmp_path / "index.json").read_bytes())["manifests"][0]["digest"]
    assert config_digest(tmp_path, f"@{index}", "linux/arm64") == made[1].config
    assert [config_digest(tmp_path, f"@{image.manifest}") for image in made] == [image.config for image in made]


def test_a_digest_of_a_layer_names_no_image(tmp_path: Path) -> None:
    files, made = layout_files(spec("x"))
    write_directory(tmp_path, files)
    for digest in (made[0].layers[0], made[0].config):
        error = refusal(tmp_path, f"@{digest}")
        assert isinstance(error, MalformedDocument)
        assert error.reason.endswith("; the digest must be that of a manifest or an index")


def test_a_digest_that_is_not_there(tmp_path: Path) -> None:
    write(tmp_path, spec("x"))
    digest = "sha256:" + "0" * 64
    error = refusal(tmp_path, f"@{digest}")
    assert isinstance(error, ImageNotFound)
    assert error.reason == f"there is no {tmp_path}/blobs/sha256/{'0' * 64}"


@pytest.mark.parametrize("missing", ["oci-layout", "index.json"])
def test_a_directory_that_is_no_layout_says_what_was_looked_for(tmp_path: Path, missing: str) -> None:
    write(tmp_path, spec("x"))
    (tmp_path / missing).unlink()
    error = refusal(tmp_path)
    assert isinstance(error, ImageNotFound)
    assert missing in error.reason


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("oci-layout", {"imageLayoutVersion": "2.0.0"}),
        ("oci-layout", {"imageLayoutVersion": "9" * 100_000}),
        ("oci-layout", {"imageLayoutVersion": 1}),
        ("oci-layout", {}),
        ("oci-layout", []),
        ("index.json", {"schemaVersion": 2, "manifests": {}}),
        ("index.json", {"schemaVersion": 2, "manifests": [], "layers": [], "config": {}}),
        ("index.json", {"schemaVersion": 2, "layers": [], "config": {"mediaType": "x", "digest": "y", "size": 1}}),
    ],
)
def test_malformed_layout_documents_are_refused_by_name(tmp_path: Path, name: str, content: Any) -> None:
    write(tmp_path, spec("x"))
    (tmp_path / name).write_bytes(dumps(content))
    error = refusal(tmp_path)
    assert error.exit_status == 3
    assert f"{tmp_path}/{name}" in str(error)
    assert len(str(error)) < len(str(tmp_path)) + 500


def test_an_index_json_that_is_a_manifest_is_refused(tmp_path: Path) -> None:
    files, made = layout_files(spec("x"))
    files["index.json"] = files[f"blobs/sha256/{made[0].manifest[7:]}"]
    write_directory(tmp_path, files)
    error = refusal(tmp_path)
    assert isinstance(error, MalformedDocument)
    assert error.reason == "is a manifest where an index must be"


@pytest.mark.parametrize("name", ["oci-layout", "index.json"])
def test_huge_layout_documents_are_refused_before_they_are_read(tmp_path: Path, name: str) -> None:
    write(tmp_path, spec("x"))
    with (tmp_path / name).open("r+b") as document:
        document.truncate(1 << 40)
    error = refusal(tmp_path)
    assert isinstance(error, UnsupportedImage)
    assert str(MAX_DOCUMENT_SIZE) in error.reason


def test_a_file_is_not_a_layout_directory(tmp_path: Path) -> None:
    (tmp_path / "image.tar").write_bytes(b"")
    error = refusal(tmp_path / "image.tar")
    assert isinstance(error, ImageNotFound)
    assert "write oci-archive:FILE" in error.reason


def test_a_blob_that_is_a_symlink_out_of_the_layout_is_refused(tmp_path: Path) -> None:
    files, made = layout_files(spec("x"))
    path = write_directory(tmp_path / "layout", files) / "blobs" / "sha256" / made[0].layers[0][7:]
    path.rename(tmp_path / "elsewhere")
    path.symlink_to("../../../elsewhere")
    assert "leads out" in str(refusal(tmp_path / "layout"))


def test_sha512_blobs_are_found(tmp_path: Path) -> None:
    import hashlib

    files, made = layout_files(spec("x"))
    data = files.pop(f"blobs/sha256/{made[0].manifest[7:]}")
    assert isinstance(data, bytes)
    name = hashlib.sha512(data).hexdigest()
    files[f"blobs/sha512/{name}"] = data
    entry = {"mediaType": OCI + "manifest.v1+json", "digest": f"sha512:{name}", "size": len(data)}
    files["index.json"] = index_bytes([entry])
    write_directory(tmp_path, files)
    assert config_digest(tmp_path) == made[0].config
    assert config_digest(tmp_path, f"@sha512:{name}") == made[0].config


def test_an_index_entry_that_is_an_artifact_is_refused_when_chosen(tmp_path: Path) -> None:
    files, _ = layout_files(spec("x"))
    config = add_blob(files, b"{}", "application/vnd.example.config+json")
    kind = OCI + "manifest.v1+json"
    artifact = {"schemaVersion": 2, "mediaType": kind, "config": config, "layers": []}
    entry = add_blob(files, dumps(artifact), kind)
    files["index.json"] = index_bytes([{**entry, "annotations": {TAG: "artifact"}}])
    write_directory(tmp_path, files)
    assert isinstance(refusal(tmp_path, ":artifact"), UnsupportedImage)
