"""Where outputs may stand: never in the place of a file that the image is read from."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.images import Spec, layout, oci_archive
from support.left import identity
from support.tars import file, tar

from builder import BuildOptions, build
from builder.errors import OutputError, UsageError

OPTIONS = ("depfile", "metadata_file", "provenance", "sbom")
SPEC = Spec((tar(file("etc/hosts", b"127.0.0.1 localhost\n")),))


def files(path: Path) -> dict[Path, tuple[int, int, int]]:
    """All files below a directory, and whether they are those of then."""
    return {each: identity(each) for each in path.rglob("*") if each.is_file()}


def refused(reference: str, disk: Path, options: BuildOptions) -> None:
    with pytest.raises(UsageError, match=r"the disk is made from this file, which would be written over; name another"):
        build(reference, disk, options)


@pytest.mark.parametrize("option", OPTIONS)
def test_no_output_is_written_over_a_file_of_a_layout(tmp_path: Path, option: str) -> None:
    layout(tmp_path / "image", SPEC)
    reference, disk = f"oci:{tmp_path}/image", tmp_path / "d.ext4"
    (tmp_path / "link").symlink_to("image/index.json")
    before = files(tmp_path)
    for inputs in (
        tmp_path / "image/index.json",
        tmp_path / "link",
        *sorted((tmp_path / "image/blobs").rglob("?" * 64)),
    ):
        refused(reference, disk, BuildOptions().but({option.replace("_", "-"): inputs}))
    assert files(tmp_path) == before


def test_nor_where_the_disk_is_up_to_date(tmp_path: Path) -> None:
    layout(tmp_path / "image", SPEC)
    reference, disk = f"oci:{tmp_path}/image", tmp_path / "d.ext4"
    build(reference, disk)
    before = files(tmp_path)
    for inputs in (tmp_path / "image/index.json", *sorted((tmp_path / "image/blobs").rglob("?" * 64))):
        refused(reference, disk, BuildOptions(metadata_file=inputs))
    assert files(tmp_path) == before


def test_no_output_is_written_over_an_archive_not_even_by_force(tmp_path: Path) -> None:
    archive = tmp_path / "image.erofs"
    oci_archive(archive, SPEC)
    before = archive.read_bytes()
    refused(f"oci-archive:{archive}", archive, BuildOptions(force=True))
    assert archive.read_bytes() == before


@pytest.mark.parametrize("option", ["authfile", "verify-key"])
def test_nor_over_what_images_are_asked_for_or_checked_with(tmp_path: Path, option: str) -> None:
    (tmp_path / "kept").write_text("{}")
    named = BuildOptions(metadata_file=tmp_path / "kept").but({option: tmp_path / "kept"})
    refused(f"oci:{tmp_path}/image", tmp_path / "d.ext4", named)
    assert (tmp_path / "kept").read_text() == "{}"


def test_where_the_current_directory_is_gone_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout(tmp_path / "image", SPEC)
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(OutputError, match=r"^d\.ext4: the current directory is gone; change to one that exists$"):
        build(f"oci:{tmp_path}/image", "d.ext4")
