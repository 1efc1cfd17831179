"""Images come from wherever they are to a process that is confined, and go where they are kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.command import run
from support.images import Spec, layout
from support.registry import Registry
from support.stores import reference, write_store
from support.tars import file, tar

from builder.sandbox import landlock, seccomp

NEEDS = "NOT RUN: needs a kernel with Landlock and seccomp: Linux 6.12 or later, with landlock among its lsm="
pytestmark = pytest.mark.skipif(landlock.version() < 6 or not seccomp.is_there(), reason=NEEDS)

# More layers than are fetched beforehand, and one twice.
LAYERS = tuple(tar(file(name, name.encode() * 9000)) for name in "abcdefa")


def build(image: str, place: Path, *words: object) -> bytes:
    """Build a disk in a process of its own that must be confined; return its bytes."""
    place.mkdir(exist_ok=True)
    disk = place / "disk.erofs"
    keeping = ("--cache", place / "cache", "--store", place.parent / "kept/store")
    said = ("--sandbox", "require", "--cmd", "/a", "--metadata-file", place / "disk.json")
    done = run("-q", "build", image, "-o", disk, *keeping, *said, *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads((place / "disk.json").read_bytes())["disk"]["sandbox"] == "all"
    assert len(list((place / "cache/layers").iterdir())) == 6
    return disk.read_bytes()


@pytest.mark.heavy
def test_from_a_registry_into_the_store_and_from_there(tmp_path: Path, registry: Registry) -> None:
    registry.push("confined", Spec(LAYERS))
    image = f"docker://{registry.host}/confined"
    disk = build(image, tmp_path / "first")
    assert build(f"store:{registry.host}/confined", tmp_path / "second") == disk
    assert build(image, tmp_path / "third", "--no-store") == disk


@pytest.mark.heavy
def test_from_podmans_store_and_a_layout_with_all_that_is_written_beside(tmp_path: Path) -> None:
    write_store(tmp_path / "store", Spec(LAYERS, tag="localhost/confined:latest"))
    layout(tmp_path / "image", Spec(LAYERS))
    (tmp_path / "added").mkdir()
    (tmp_path / "added/note").write_text("added")
    for name in ("work", "metadata", "firecracker"):
        (tmp_path / name).mkdir()
    words: tuple[object, ...] = ("--add", f"{tmp_path}/added:/srv", "--tmpdir", tmp_path / "work")
    words += ("--depfile", tmp_path / "metadata/d", "--provenance", tmp_path / "metadata/p.json", "--verity")
    words += ("--vm-config", f"firecracker={tmp_path}/firecracker/vm.json", "--kernel", "/boot/vmlinux")
    disk = build(reference(tmp_path / "store", "localhost/confined"), tmp_path / "first", *words)
    assert build(f"oci:{tmp_path}/image", tmp_path / "second", *words) == disk
    assert all(any((tmp_path / name).iterdir()) for name in ("metadata", "firecracker"))


def test_a_directory_keeps_the_owners_modes_and_times_that_its_image_has(tmp_path: Path) -> None:
    layout(tmp_path / "image", Spec((tar(file("bin/su", b"su", mode=0o640)),)))
    done = run("-q", "unpack", f"oci:{tmp_path}/image", tmp_path / "root", "--sandbox", "require")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "root/bin/su").stat().st_mode & 0o7777 == 0o640
