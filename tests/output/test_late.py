"""What fails late is said for what it is: which of the outputs are there, and that they are whole."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.images import Spec, layout
from support.tars import file, tar

from builder import BuildOptions, build
from builder.actions.unpack import unpack
from builder.errors import BuilderError, OutputDenied, OutputError
from builder.events import Event, Notice
from builder.output.publish import OutputUnsettled


@pytest.fixture
def image(tmp_path: Path) -> str:
    layout(tmp_path / "image", Spec((tar(file("a", b"content")),)))
    return f"oci:{tmp_path}/image"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("disk", "metadata", "dependencies"):
        (tmp_path / "place" / name).mkdir(parents=True)
    return tmp_path / "place"


def options(place: Path) -> BuildOptions:
    return BuildOptions(metadata_file=place / "metadata/m.json", depfile=place / "dependencies/d")


class Failing:
    """An fsync or a rename that fails when it comes to one file, by the end of its path."""

    def __init__(self, patch: pytest.MonkeyPatch, call: str, end: str, reason: int = errno.EIO) -> None:
        real = getattr(os, call)

        def fail(first: int | str, *rest: str, **options: int) -> None:
            path = os.readlink(f"/proc/self/fd/{first}") if isinstance(first, int) else rest[0]
            if path.endswith(end):
                raise OSError(reason, os.strerror(reason))
            real(first, *rest, **options)

        patch.setattr(f"os.{call}", fail)


def outputs(place: Path) -> list[str]:
    return sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())


def test_an_output_that_cannot_be_synced_is_not_published(
    image: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Failing(monkeypatch, "fsync", ".rootfs-builder/disk")
    with pytest.raises(OutputError, match="Input/output error"):
        build(image, place / "disk/d.ext4", options(place))
    assert outputs(place) == []


def test_an_output_whose_directory_cannot_be_synced_is_said_to_be_complete(
    image: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Failing(monkeypatch, "fsync", "place/disk")
    disk = place / "disk/d.ext4"
    with pytest.raises(OutputUnsettled) as caught:
        build(image, disk, options(place))
    assert str(caught.value) == (
        f"{disk}: is complete, but its directory was not synced: Input/output error; a power failure may undo it"
    )
    assert outputs(place) == ["dependencies/d", "disk/d.ext4"]
    monkeypatch.undo()
    again = build(image, disk, options(place))
    assert outputs(place) == ["dependencies/d", "disk/d.ext4", "metadata/m.json"]
    assert again.disk.size == disk.stat().st_size


def test_a_file_system_that_syncs_no_directories_is_no_failure(
    image: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Failing(monkeypatch, "fsync", "place/disk", errno.EINVAL)
    build(image, place / "disk/d.ext4", options(place))
    assert outputs(place) == ["dependencies/d", "disk/d.ext4", "metadata/m.json"]


@pytest.mark.root
def test_a_file_that_is_mounted_by_itself_is_said_to_be(image: str, place: Path) -> None:
    """As in a container that was given the output alone, and not its directory."""
    disk = place / "disk/d.ext4"
    disk.touch()
    (place / "elsewhere").touch()
    subprocess.run(["mount", "--bind", place / "elsewhere", disk], check=True)
    try:
        with pytest.raises(OutputError) as caught:
            build(image, disk)
    finally:
        subprocess.run(["umount", disk], check=True)
    why = "it is a mount point, which cannot be replaced; choose another --tmpdir or output"
    assert str(caught.value) == f"{disk}: {why}"
    assert outputs(place) == ["disk/d.ext4", "elsewhere"]


def test_what_fails_after_the_disk_was_published_says_so(
    image: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Failing(monkeypatch, "replace", "m.json")
    with pytest.raises(OutputError) as caught:
        build(image, place / "disk/d.ext4", options(place))
    assert str(caught.value) == (
        f"{place}/metadata/m.json: Input/output error; complete and published before it: "
        f"{place}/dependencies/d, {place}/disk/d.ext4"
    )
    assert outputs(place) == ["dependencies/d", "disk/d.ext4"]


def test_a_work_directory_that_stays_is_told_and_the_disk_is_no_failure(
    image: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_name: str, *, dir_fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("os.rmdir", fail)
    heard: list[Event] = []
    build(image, place / "disk/d.ext4", listen=heard.append)
    [work] = [path for path in (place / "disk").iterdir() if path.is_dir()]
    notices = [event.text for event in heard if isinstance(event, Notice)]
    assert notices[-1:] == [f"{work}: this work directory cannot be removed: Input/output error"]
    assert (place / "disk/d.ext4").is_file()


@pytest.fixture
def append_only(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "append-only"
    directory.mkdir()
    if subprocess.run(["chattr", "+a", directory], check=False, capture_output=True).returncode != 0:
        pytest.skip("the file system of temporary files has no append-only directories")
    try:
        yield directory
    finally:
        subprocess.run(["chattr", "-a", directory], check=True)


@pytest.mark.root
@pytest.mark.parametrize("output", ["disk", "metadata", "dependencies", "directory"])
def test_an_append_only_directory_is_refused_before_anything_is_made_in_it(
    image: str, place: Path, append_only: Path, output: str
) -> None:
    def act() -> object:
        match output:
            case "disk":
                return build(image, append_only / "d.ext4")
            case "metadata":
                return build(image, place / "disk/d.ext4", BuildOptions(metadata_file=append_only / "m"))
            case "dependencies":
                return build(image, place / "disk/d.ext4", BuildOptions(depfile=append_only / "d"))
        return unpack(image, append_only / "root")

    with pytest.raises(BuilderError, match="is append-only: nothing in it can be replaced or removed") as caught:
        act()
    assert isinstance(caught.value, OutputDenied)
    assert (list(append_only.iterdir()), outputs(place)) == ([], [])
