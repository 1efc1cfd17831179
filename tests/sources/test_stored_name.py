"""What an image is called in a store when nobody says it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.images import TAG, Spec, docker_archive, dumps, layout, oci_archive
from support.stores import reference, write_image
from support.tars import file, tar

from builder.errors import ImageNotFound, InvalidReference
from builder.sources import open_source
from builder.sources.reference import parse_reference
from builder.sources.stored_name import stored_name

CONTAINERD = "io.containerd.image.name"
LAYERS = (tar(file("a", b"a")),)


def name(reference: str) -> str:
    source = open_source(reference)
    try:
        return str(stored_name(parse_reference(reference), source))
    finally:
        source.close()


@pytest.mark.parametrize(
    ("directory", "tag", "choice", "expected"),
    [
        ("app", "1.0", ":1.0", "localhost/app:1.0"),
        ("app", "1.0", "", "localhost/app:1.0"),
        ("app", "1.0", ":@0", "localhost/app:1.0"),
        ("app", None, "", "localhost/app"),
        ("My App_2", "1.0", "", "localhost/my-app-2:1.0"),
        ("app", "example.com/app:2", ":example.com/app:2", "example.com/app:2"),
        ("app", "busybox:1", "", "localhost/busybox:1"),
        ("app", "team/tool", "", "localhost/team/tool"),
        ("app", "no legal tag", "", "localhost/app"),
    ],
)
def test_a_layouts_image_has_its_own_name_or_that_of_the_directory(
    tmp_path: Path, directory: str, tag: str | None, choice: str, expected: str
) -> None:
    layout(tmp_path / directory, Spec(LAYERS, tag))
    for form in ("oci:{}", "{}", "oci:osfs://{}"):
        assert name(form.format(tmp_path / directory) + choice) == expected


def test_a_layouts_image_by_digest_has_that_digest(tmp_path: Path) -> None:
    (made,) = layout(tmp_path / "app", Spec(LAYERS))
    assert name(f"oci:{tmp_path}/app@{made.manifest}") == f"localhost/app@{made.manifest}"


def test_an_image_of_podmans_has_the_name_it_was_asked_for_by(tmp_path: Path) -> None:
    made = write_image(tmp_path, Spec(LAYERS), ["localhost/app:1", "quay.io/team/app:2", "localhost/app:2"], tmp_path)
    other = write_image(tmp_path, Spec(()), [], tmp_path)
    write_image(tmp_path, Spec(()), [f"quay.io/other@{other.manifest}"], tmp_path)
    for asked, expected in (
        ("app:1", "localhost/app:1"),
        ("app:2", "localhost/app:2"),
        ("team/app:2", "quay.io/team/app:2"),
        (f"quay.io/team/app@{made.manifest}", "quay.io/team/app:2"),
        (made.config[7:], "localhost/app:1"),
    ):
        assert name(reference(tmp_path, asked)) == expected
    with pytest.raises(ImageNotFound):
        name(reference(tmp_path, "absent"))
    with pytest.raises(InvalidReference, match="say with --name"):
        name(reference(tmp_path, f"other@{other.manifest}"))


def test_a_full_name_comes_before_the_tag_beside_it(tmp_path: Path) -> None:
    """As Docker and containerd export."""
    layout(tmp_path / "app", Spec(LAYERS, "1"))
    index = tmp_path / "app/index.json"
    both = dumps({TAG: "1", CONTAINERD: "docker.io/library/busybox:1"})
    index.write_bytes(index.read_bytes().replace(dumps({TAG: "1"}), both))
    assert name(f"oci:{tmp_path}/app") == "docker.io/library/busybox:1"


def test_one_image_with_two_tags_is_called_what_was_asked_for(tmp_path: Path) -> None:
    layout(tmp_path / "app", Spec(LAYERS, "1"), Spec(LAYERS, "2"))
    assert name(f"oci:{tmp_path}/app:2") == "localhost/app:2"


@pytest.mark.parametrize("file_name", ["app.tar", "app.oci.tar", "app.tar.gz", "APP.TGZ", "app"])
def test_an_oci_archives_image_has_the_name_of_the_file_without_its_suffixes(tmp_path: Path, file_name: str) -> None:
    oci_archive(tmp_path / file_name, Spec(LAYERS, "1.0"))
    assert name(f"oci-archive:{tmp_path}/{file_name}:1.0") == "localhost/app:1.0"


@pytest.mark.parametrize(
    ("tag", "choice", "expected"),
    [
        ("busybox:1", "", "docker.io/library/busybox:1"),
        ("busybox:1", ":busybox:1", "docker.io/library/busybox:1"),
        ("example.com/a/b:1", "", "example.com/a/b:1"),
        (None, "", "localhost/saved"),
    ],
)
def test_a_docker_archives_image_has_the_name_that_docker_saved(
    tmp_path: Path, tag: str | None, choice: str, expected: str
) -> None:
    docker_archive(tmp_path / "saved.tar", Spec(LAYERS, tag))
    assert name(f"docker-archive:{tmp_path}/saved.tar{choice}") == expected


def test_a_place_whose_name_is_none_needs_one(tmp_path: Path) -> None:
    layout(tmp_path / "___", Spec(LAYERS, None))
    with pytest.raises(InvalidReference, match="say with --name what to call it"):
        name(f"oci:{tmp_path}/___")
