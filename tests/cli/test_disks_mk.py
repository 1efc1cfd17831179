"""A Makefile for a list of images (fixtures/disks.mk): what has not changed is not built, and two makes are right."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.command import ENVIRONMENT, ROOT
from support.images import Spec, layout
from support.registry import Registry
from support.tars import file, tar

pytestmark = pytest.mark.slow

BUILDER = f"{sys.executable} -m builder"


@pytest.fixture(autouse=True)
def place(tmp_path: Path) -> Path:
    """A directory whose file system keeps what says that a disk is up to date, with make at hand."""
    if shutil.which("make") is None:
        pytest.skip("NOT RUN: make is not installed")
    try:
        os.setxattr(tmp_path, "user.tried", b"")
    except OSError:
        pytest.skip("the file system of temporary files keeps no extended attributes")
    return tmp_path


def write(place: Path, images: dict[str, str], **more: str) -> None:
    lines = [f"image-{name} = {image}" for name, image in images.items()]
    lines += [f"{name.replace('_', '-')} = {value}" for name, value in more.items()]
    (place / "Makefile").write_text("\n".join([*lines, f"include {ROOT}/fixtures/disks.mk", ""]))


def start(place: Path, *words: str) -> subprocess.Popen[str]:
    # What is asked of a registry is kept where the test is.
    environment = {**ENVIRONMENT, "ROOTFS_BUILDER": BUILDER, "ROOTFS_BUILDER_STORE": str(place / "store")}
    return subprocess.Popen(
        ["make", *words], cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def make(place: Path, *words: str) -> str:
    with start(place, *words) as process:
        said, errors = process.communicate()
    assert (process.returncode, errors) == (0, "")
    return said


def disks(place: Path) -> dict[str, tuple[int, int]]:
    """Tell each disk from one that is made anew."""
    found = (*(place / "disks").glob("*.ext4"), *(place / "disks").glob("*.erofs"))
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


def changed(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]) -> list[str]:
    assert before.keys() == after.keys()
    return sorted(name for name in after if after[name] != before[name])


def images(place: Path, contents: dict[str, bytes]) -> None:
    """Write a layout with an image for each tag."""
    shutil.rmtree(place / "images", ignore_errors=True)
    layout(place / "images", *(Spec((tar(file("a", data)),), tag=tag) for tag, data in contents.items()))


def test_twenty_targets_of_one_layout_of_which_one_tag_moves(place: Path) -> None:
    contents = {f"t{number}": b"%d" % number for number in range(20)}
    images(place, contents)
    write(place, {tag: f"oci:images:{tag}" for tag in contents}, options_t3="--init none", format_t4="erofs")
    # Two at once build each of them once.
    with start(place, "-j2", "disks") as one, start(place, "-j2", "disks") as other:
        assert [one.communicate()[1], other.communicate()[1]] == ["", ""]
        assert (one.returncode, other.returncode) == (0, 0)
    built = disks(place)
    assert sorted(built) == sorted(f"{tag}.{'erofs' if tag == 't4' else 'ext4'}" for tag in contents)
    # Whatever it did would be printed.
    assert make(place, "disks") == ""
    images(place, contents | {"t7": b"new"})
    make(place, "-j2", "disks")
    assert changed(built, after := disks(place)) == ["t7.ext4"]
    write(place, {tag: f"oci:images:{tag}" for tag in contents}, options_t3="--label new", format_t4="erofs")
    make(place, "-j2", "disks")
    assert changed(after, disks(place)) == ["t3.ext4"]
    litter = [path.name for path in (place / "disks").iterdir() if path.name.startswith(".") or ".said." in path.name]
    assert litter == []


def test_options_with_quotes_are_words_of_the_build_and_nothing_else(place: Path) -> None:
    images(place, {"t": b"1"})
    write(place, {"t": "oci:images:t"}, options_t="--init none --label 'b;touch made'")
    make(place)
    before = disks(place)
    assert sorted(path.name for path in place.iterdir()) == ["Makefile", "disks", "images"]
    assert make(place) == ""
    write(place, {"t": "oci:images:t"}, options_t='--init none --label "it\'s"')
    make(place)
    assert changed(before, disks(place)) == ["t.ext4"]


@pytest.mark.parametrize("lost", ["t.ext4.d", "t.ext4.json"])
def test_what_stood_beside_a_disk_and_was_removed_is_written_anew(place: Path, lost: str) -> None:
    images(place, {"t": b"1"})
    write(place, {"t": "oci:images:t"})
    make(place)
    before = disks(place)
    (place / "disks" / lost).unlink()
    make(place)
    assert (place / "disks" / lost).exists()
    assert changed(before, disks(place)) == []
    assert make(place) == ""


def test_a_tag_that_moves_in_a_registry_is_noticed(place: Path, registry: Registry) -> None:
    for name in ("one", "two"):
        registry.push(name, Spec((tar(file("a", name.encode())),)))
    write(place, {name: f"docker://{registry.host}/{name}" for name in ("one", "two")})
    make(place)
    before = disks(place)
    booted = [line for line in make(place, "-n", "boot-all").splitlines() if " boot " in line]
    assert booted == [f"{BUILDER} boot disks/{name}.ext4 --timeout 60" for name in ("one", "two")]
    make(place)
    assert changed(before, disks(place)) == []
    registry.push("two", Spec((tar(file("a", b"new")),)))
    make(place)
    assert changed(before, disks(place)) == ["two.ext4"]
