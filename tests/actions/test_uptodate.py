"""An output that would come out the same is left as it is; any other is built, whatever seems to speak for it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.forms import FORMS, install_memory
from support.images import Spec, layout, oci_archive
from support.proxy import Proxy
from support.registry import Registry
from support.remote import IMAGE, NAME
from support.tars import file, tar

from builder import BuildOptions, BuildResult, build
from builder.disk import FILESYSTEMS
from builder.disk.filesystem import DiskOptions
from builder.files.litter import work_directory_name
from builder.guest.options import GuestOptions
from builder.output import recipe
from builder.sources.access import Access

ATTRIBUTE = "user.rootfs-builder"
BASE = tar(file("a", b"content" * 1000))


@pytest.fixture
def image(tmp_path: Path) -> str:
    layout(tmp_path / "image", Spec((BASE,)))
    return f"oci:{tmp_path}/image"


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return tmp_path / "disk.ext4"


def keeps_attributes(place: Path) -> bool:
    try:
        os.setxattr(place, ATTRIBUTE, b"")
    except OSError:
        return False
    os.removexattr(place, ATTRIBUTE)
    return True


@pytest.fixture
def attributes(tmp_path: Path) -> None:
    if not keeps_attributes(tmp_path):
        pytest.skip("the file system of temporary files keeps no extended attributes")


def state(path: Path) -> tuple[int, int, int, bytes]:
    status = path.stat()
    return (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, path.read_bytes())


def left_alone(image: str, disk: Path, options: BuildOptions | None = None) -> BuildResult:
    before = state(disk)
    result = build(image, disk, options)
    assert (result.built, state(disk)) == (False, before)
    return result


def built_again(image: str, disk: Path, options: BuildOptions | None = None) -> None:
    before = disk.stat().st_ino
    assert build(image, disk, options).built
    assert disk.stat().st_ino != before


@pytest.mark.usefixtures("attributes")
@pytest.mark.parametrize("format", FILESYSTEMS)
def test_a_disk_that_would_come_out_the_same_is_left_as_it_is(tmp_path: Path, image: str, format: str) -> None:
    disk = tmp_path / f"disk.{format}"
    first = build(image, disk)
    again = left_alone(image, disk)
    assert again == replace(first, built=False)
    assert sorted(os.listdir(tmp_path)) == [disk.name, "image"]


@pytest.mark.parametrize("guest", [GuestOptions(), GuestOptions(cmd=("/a",))], ids=["no init", "init"])
def test_metadata_alone_are_enough_and_are_left_as_they_are(
    tmp_path: Path, image: str, disk: Path, guest: GuestOptions
) -> None:
    options = BuildOptions(guest=guest, metadata_file=tmp_path / "m.json")
    build(image, disk, options)
    if keeps_attributes(tmp_path):
        os.removexattr(disk, ATTRIBUTE)
    metadata = state(tmp_path / "m.json")
    left_alone(image, disk, options)
    assert state(tmp_path / "m.json") == metadata
    assert (tmp_path / "m.json").stat().st_mtime_ns == disk.stat().st_mtime_ns
    # Kept by a cache that knows whole seconds only.
    for path in (disk, tmp_path / "m.json"):
        os.utime(path, (path.stat().st_atime, int(path.stat().st_mtime)))
    left_alone(image, disk, options)


def test_with_neither_it_is_built(tmp_path: Path, image: str, disk: Path) -> None:
    build(image, disk)
    if keeps_attributes(tmp_path):
        os.removexattr(disk, ATTRIBUTE)
    built_again(image, disk)


def modified(disk: Path) -> None:
    with disk.open("r+b") as file:
        file.seek(4096)
        file.write(b"x")


def cut(disk: Path) -> None:
    times = disk.stat()
    os.truncate(disk, 4096)
    os.utime(disk, ns=(times.st_atime_ns, times.st_mtime_ns))


def touched(disk: Path) -> None:
    os.utime(disk)


def copied_without_its_times(disk: Path) -> None:
    shutil.copyfile(disk, disk.with_name("copy"))
    os.replace(disk.with_name("copy"), disk)


@pytest.mark.parametrize("metadata", [False, True])
@pytest.mark.parametrize("change", [modified, cut, touched, copied_without_its_times])
def test_a_disk_that_is_not_as_it_was_is_built(
    tmp_path: Path, image: str, disk: Path, change: Callable[[Path], None], metadata: bool
) -> None:
    options = BuildOptions(metadata_file=tmp_path / "m.json" if metadata else None)
    build(image, disk, options)
    whole = disk.read_bytes()
    change(disk)
    built_again(image, disk, options)
    assert disk.read_bytes() == whole


OTHERWISE = {
    "another size": BuildOptions(disk=DiskOptions(size=64 << 20)),
    "another label": BuildOptions(disk=DiskOptions(label="x")),
    "another time": BuildOptions(source_date_epoch=1),
    "by force": BuildOptions(force=True),
}


@pytest.mark.parametrize("metadata", [False, True])
@pytest.mark.parametrize("name", OTHERWISE)
def test_a_disk_is_built_when_other_options_decide_its_bytes(
    tmp_path: Path, image: str, disk: Path, name: str, metadata: bool
) -> None:
    options = BuildOptions(metadata_file=tmp_path / "m.json" if metadata else None)
    build(image, disk, options)
    built_again(image, disk, replace(OTHERWISE[name], metadata_file=options.metadata_file))


@pytest.mark.parametrize("metadata", [False, True])
@pytest.mark.parametrize("changed", ["image", "tool", "builder"])
def test_a_disk_is_built_when_what_makes_it_changes(
    tmp_path: Path, image: str, disk: Path, changed: str, metadata: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = BuildOptions(metadata_file=tmp_path / "m.json" if metadata else None)
    build(image, disk, options)
    if changed == "image":
        layout(tmp_path / "image", Spec((tar(file("a", b"CONTENT" * 1000)),)))
    elif changed == "tool":
        monkeypatch.setattr("builder.disk.ext4.pack.tool_version", lambda _name: "1.99.0")
    else:
        monkeypatch.setattr(recipe, "VERSION", "99")
    built_again(image, disk, options)


def test_metadata_of_another_disk_speak_for_none(tmp_path: Path, image: str) -> None:
    """Both disks have the same size, and the metadata describe just what is asked for now."""
    layout(tmp_path / "other", Spec((tar(file("a", b"other")),)))
    options = BuildOptions(disk=DiskOptions(size=16 << 20), metadata_file=tmp_path / "m.json")
    build(f"oci:{tmp_path}/other", tmp_path / "2.ext4", replace(options, metadata_file=None))
    build(image, tmp_path / "1.ext4", options)
    built_again(image, tmp_path / "2.ext4", options)
    assert (tmp_path / "2.ext4").read_bytes() == (tmp_path / "1.ext4").read_bytes()


GARBAGE = {
    "nothing": b"",
    "no JSON": b"{",
    "no object": b"[]",
    "other fields": b'{"disk": 3}',
    "no text": b"\xff",
    "depth": b"[" * 3000,
}


@pytest.mark.parametrize("name", GARBAGE)
def test_a_record_that_is_none_of_ours_is_overlooked(tmp_path: Path, image: str, disk: Path, name: str) -> None:
    options = BuildOptions(metadata_file=tmp_path / "m.json")
    build(image, disk, options)
    before = state(disk), (tmp_path / "m.json").read_bytes()
    (tmp_path / "m.json").write_bytes(GARBAGE[name])
    if keeps_attributes(tmp_path):
        os.setxattr(disk, ATTRIBUTE, GARBAGE[name])
    assert build(image, disk, options).built
    assert (disk.read_bytes(), (tmp_path / "m.json").read_bytes()) == (before[0][3], before[1])
    left_alone(image, disk, options)


@pytest.mark.usefixtures("attributes")
def test_side_outputs_that_are_missing_or_of_another_name_are_written_and_the_disk_is_left(
    tmp_path: Path, image: str, disk: Path
) -> None:
    options = BuildOptions(metadata_file=tmp_path / "m.json", depfile=tmp_path / "d")
    build(image, disk, options)
    expected = [(tmp_path / name).read_bytes() for name in ("m.json", "d")]
    for change in (Path.unlink, lambda path: path.write_text("x")):
        for name in ("m.json", "d"):
            change(tmp_path / name)
        left_alone(image, disk, options)
        assert [(tmp_path / name).read_bytes() for name in ("m.json", "d")] == expected
    oci_archive(tmp_path / "image.tar", Spec((BASE,)))
    left_alone(f"oci-archive:{tmp_path}/image.tar", disk, options)
    assert f"oci-archive:{tmp_path}/image.tar" in (tmp_path / "m.json").read_text()
    assert f"{tmp_path}/image.tar" in (tmp_path / "d").read_text()


def test_what_a_killed_build_left_beside_a_side_output_goes_also_when_that_is_as_it_should_be(
    tmp_path: Path, image: str, disk: Path
) -> None:
    for name in ("metadata", "dependencies"):
        (tmp_path / name).mkdir()
    options = BuildOptions(metadata_file=tmp_path / "metadata/m", depfile=tmp_path / "dependencies/d")
    build(image, disk, options)
    for name in ("metadata", "dependencies"):
        # Killed before it was marked.
        (tmp_path / name / work_directory_name(".x.", "0123456789abcdef")).mkdir(0o700)
    left_alone(image, disk, options)
    assert [os.listdir(tmp_path / name) for name in ("metadata", "dependencies")] == [["m"], ["d"]]


@pytest.mark.usefixtures("attributes")
@pytest.mark.parametrize("form", FORMS)
def test_through_every_transport_a_disk_is_up_to_date_and_depends_on_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    install_memory()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    reference = FORMS[form](tmp_path)
    options = BuildOptions(depfile=tmp_path / "d")
    disk = tmp_path / "disk.ext4"
    build(reference, disk, options)
    rule = (tmp_path / "d").read_bytes()
    (tmp_path / "d").unlink()
    left_alone(reference, disk, options)
    assert (tmp_path / "d").read_bytes() == rule


@pytest.mark.usefixtures("attributes")
def test_layers_are_not_even_looked_for(tmp_path: Path, image: str, disk: Path) -> None:
    build(image, disk)
    for blob in (tmp_path / "image/blobs/sha256").iterdir():
        if not blob.read_bytes().startswith(b"{"):
            blob.unlink()
    left_alone(image, disk)


@pytest.mark.heavy
@pytest.mark.usefixtures("attributes")
@pytest.mark.parametrize("keep", [True, False])
def test_of_a_registry_no_layer_is_asked_for(
    tmp_path: Path, registry: Registry, proxy: Proxy, disk: Path, keep: bool
) -> None:
    registry.push(NAME, IMAGE)
    options = BuildOptions(access=Access(store=str(tmp_path / "store"), keep=keep))
    build(f"docker://{proxy.host}/{NAME}", disk, options)
    proxy.requests.clear()
    left_alone(f"docker://{proxy.host}/{NAME}", disk, options)
    asked = [request.path.rpartition("/")[0] for request in proxy.requests if request.path != "/v2/"]
    # Without a store the config, a few kilobytes, comes from there as well.
    assert asked == [f"/v2/{NAME}/manifests"] + ([] if keep else [f"/v2/{NAME}/blobs"] * (len(asked) - 1))
    registry.push(NAME, Spec((BASE,)))
    built_again(f"docker://{proxy.host}/{NAME}", disk, options)


def test_of_an_image_by_its_digest_make_has_nothing_to_watch(tmp_path: Path, registry: Registry, disk: Path) -> None:
    made = registry.push(NAME, IMAGE)
    options = BuildOptions(access=Access(store=str(tmp_path / "store")), depfile=tmp_path / "d")
    build(f"docker://{registry.host}/{NAME}@{made['manifest']}", disk, options)
    assert (tmp_path / "d").read_text() == f"{disk}:\n"
