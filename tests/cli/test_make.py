"""Makefiles that include our dependencies rebuild a disk when its image changes, wherever that is, and only then."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.command import ENVIRONMENT
from support.images import Spec, layout
from support.registry import Registry
from support.tars import file, tar

pytestmark = pytest.mark.heavy

MAKEFILE = """\
all: {disks}
%.ext4:
\t@echo building $@
\t@{python} -m builder -q build $(image-$*) -o $@ --init none --store store --depfile $@.d >/dev/null
-include $(wildcard *.d)
"""


class Place:
    """A directory with a Makefile for disks of the images given, by the disks' names."""

    def __init__(self, path: Path, images: dict[str, str]) -> None:
        self.path = path
        disks = " ".join(f"{name}.ext4" for name in images)
        lines = [f"image-{name} = {image}" for name, image in images.items()]
        (path / "Makefile").write_text("\n".join([*lines, MAKEFILE.format(disks=disks, python=sys.executable)]))

    def make(self) -> set[str]:
        """Run make; return what it built or asked about."""
        done = subprocess.run(["make"], cwd=self.path, env=ENVIRONMENT, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        return {line.removeprefix("building ") for line in done.stdout.splitlines() if line.startswith("building ")}

    def disks(self) -> dict[str, tuple[int, int]]:
        """Tell each disk from one that is made anew."""
        return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in self.path.glob("*.ext4")}


@pytest.fixture(autouse=True)
def _make() -> None:
    if shutil.which("make") is None:
        pytest.skip("NOT RUN: make is not installed")


def image(content: bytes, tag: str = "latest") -> Spec:
    return Spec((tar(file("a", content)),), tag=tag)


def changed(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]) -> set[str]:
    return {name for name in after if after[name] != before.get(name)}


@pytest.fixture
def attributes(tmp_path: Path) -> None:
    try:
        os.setxattr(tmp_path, "user.tried", b"")
    except OSError:
        pytest.skip("the file system of temporary files keeps no extended attributes")


@pytest.mark.usefixtures("attributes")
def test_a_tag_that_moves_in_a_registry_is_noticed_and_the_other_disks_stay(tmp_path: Path, registry: Registry) -> None:
    registry.push("one", image(b"1"))
    fixed = registry.push("two", image(b"2"))["manifest"]
    host = f"docker://{registry.host}"
    place = Place(tmp_path, {"one": f"{host}/one:latest", "two": f"{host}/two:latest", "fixed": f"{host}/two@{fixed}"})
    assert place.make() == {"one.ext4", "two.ext4", "fixed.ext4"}
    before = place.disks()
    registry.push("one", image(b"new"))
    assert place.make() == {"one.ext4", "two.ext4"}
    assert changed(before, place.disks()) == {"one.ext4"}


@pytest.mark.usefixtures("attributes")
def test_a_tag_that_moves_in_a_layout_makes_no_disk_of_another_tag_anew(tmp_path: Path) -> None:
    layout(tmp_path / "images", image(b"1", "a"), image(b"2", "b"), image(b"3", "c"))
    place = Place(tmp_path, {tag: f"oci:images:{tag}" for tag in "abc"})
    assert place.make() == {"a.ext4", "b.ext4", "c.ext4"}
    assert place.make() == set()
    before = place.disks()
    shutil.rmtree(tmp_path / "images")
    layout(tmp_path / "images", image(b"1", "a"), image(b"new", "b"), image(b"3", "c"))
    assert place.make() == {"a.ext4", "b.ext4", "c.ext4"}
    assert changed(before, place.disks()) == {"b.ext4"}
