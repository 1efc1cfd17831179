"""A batch writes nothing in the place of what it reads."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.images import Spec, layout, oci_archive
from support.tars import file, tar

from builder import BuildOptions
from builder.batch.images import parse_list
from builder.batch.outputs import check_written
from builder.errors import UsageError

SPEC = Spec((tar(file("a", b"content")),))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a layout and an archive in it."""
    layout(tmp_path / "image", SPEC)
    oci_archive(tmp_path / "image.tar", SPEC)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(lines: str, *reports: str) -> None:
    Path("list").write_text(lines)
    jobs = parse_list(lines, "list", Path("."), BuildOptions())
    check_written(Path("list"), jobs, [Path(report) for report in reports])


def test_no_report_is_written_over_a_file_of_an_image(here: Path) -> None:
    (here / "link").symlink_to("image/index.json")
    lines = "image output=a.ext4\nimage.tar output=b.ext4\noci:nowhere\nstore:c\n"
    blobs = sorted(str(each) for each in (here / "image/blobs").rglob("?" * 64))
    assert len(blobs) == 3
    for report in ("image.tar", "link", "image/index.json", "image/oci-layout", *blobs):
        with pytest.raises(UsageError, match="made from this file, which would be written over; name another output"):
            check(lines, "report.json", report)


def test_a_report_may_be_written_again_among_files_of_an_image(here: Path) -> None:
    (here / "image/report.json").write_text("{}")
    check("image output=a.ext4\n", "image/report.json")


def test_nothing_of_one_job_is_written_over_the_image_of_another(here: Path) -> None:
    (here / "b.ext4").symlink_to("image.tar")
    for lines in (
        "oci:nowhere output=a.ext4 sbom=image/index.json\nimage output=c.ext4\n",
        "image output=b.ext4\nimage.tar output=c.ext4\n",
    ):
        with pytest.raises(UsageError, match="made from this file, which would be written over; name another output"):
            check(lines)


def test_nothing_that_goes_with_a_disk_is_written_over_the_list(here: Path) -> None:
    with pytest.raises(UsageError, match=r"list: the disk is made from this file"):
        check(f"image output=a.ext4 sbom={here}/image/../list\n")


@pytest.mark.usefixtures("here")
def test_a_name_that_no_file_can_have_is_its_own_job_s_matter() -> None:
    check(f"image output={'x' * 300}.ext4\n")
