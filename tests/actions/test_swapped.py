"""A user who may rename where root works gains nothing: root's files go where root began, and nowhere else."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.images import Spec, layout
from support.tars import file, tar
from support.users import ORDINARY, open_to_users, run_as_user

from builder.actions.build import build
from builder.actions.unpack import unpack
from builder.disk.erofs.features import installed_features
from builder.disk.filesystem import Compression, DiskOptions
from builder.options import BuildOptions
from builder.output import publish

pytestmark = pytest.mark.root

# Puts another directory in the place of each work directory, full of links to what is root's.
SWAP = """
import os
place, victim = sys.argv[1:]
for name in os.listdir(place):
    if name.endswith(".rootfs-builder"):
        path = os.path.join(place, name)
        os.rename(path, path + ".moved")
        os.mkdir(path)
        for each in ("disk", "image", "layout", "mke2fs.conf", "mark", "file"):
            os.symlink(victim + "/file", path + "/" + each)
        for each in ("root", "erofs"):
            os.symlink(victim + "/directory", path + "/" + each)
"""

Act = Callable[[str, Path, BuildOptions], object]
FED = "write_tar" if installed_features().tar else "staged"
STEPS = {
    "mke2fs begins": (build, "d.ext4", "builder.disk.ext4.mke2fs.run_tool"),
    "the disk is synced": (build, "d.ext4", "builder.actions.build.sync"),
    "the disk is published": (build, "d.ext4", "builder.actions.build.publish_in_order"),
    "mkfs.erofs begins": (build, "d.erofs", "builder.disk.erofs.mkfs.run_tool"),
    "erofs gets its files": (build, "d.erofs", f"builder.disk.erofs.mkfs.{FED}"),
    "erofs is finished": (build, "d.erofs", "builder.disk.erofs.restore.restore"),
    "the tree is written": (unpack, "d", "builder.actions.unpack.write_directory"),
    "the tree is published": (unpack, "d", "builder.actions.unpack.publish_directory"),
}


def content(path: Path) -> dict[str, bytes]:
    found = [path, *path.rglob("*")]
    return {str(each.relative_to(path)): each.read_bytes() for each in found if each.is_file()}


@pytest.mark.parametrize("tmpdir", [False, True])
@pytest.mark.parametrize("step", STEPS)
def test_a_work_directory_that_is_swapped_redirects_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, tmpdir: bool
) -> None:
    layout(tmp_path / "image", Spec((tar(file("a", b"content" * 1000), file("b", b"more" * 5000)),)))
    victim = tmp_path / "victim"
    (victim / "directory").mkdir(parents=True)
    (victim / "file").write_bytes(b"precious")
    place = tmp_path / "place"
    place.mkdir()
    os.chown(place, ORDINARY, ORDINARY)
    open_to_users(place)
    act, name, hook = STEPS[step]
    # Only what it is to compress does mkfs.erofs get.
    disk = DiskOptions(compress=Compression("lz4") if name.endswith("erofs") else None)
    options = BuildOptions(tmpdir=place if tmpdir else None, disk=disk)
    act(f"oci:{tmp_path}/image", tmp_path / name, options)

    module, _, function = hook.rpartition(".")
    real = getattr(importlib.import_module(module), function)
    swapped: list[str] = []

    def swap_first(*arguments: object, **options: object) -> object:
        if not swapped:
            swapped.append(run_as_user("", SWAP, place, victim))
        return real(*arguments, **options)

    monkeypatch.setattr(hook, swap_first)
    act(f"oci:{tmp_path}/image", place / name, options)
    assert swapped
    assert content(place / name) == content(tmp_path / name)
    assert content(victim) == {"file": b"precious"}
    fakes = [path for path in place.iterdir() if path.suffix == ".rootfs-builder"]
    assert {len(os.listdir(path)) for path in fakes} == {8}
    assert [os.listdir(path) for path in place.iterdir() if path.suffix == ".moved"] == [[]] * len(fakes)


def test_side_outputs_are_not_redirected_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").write_bytes(b"precious")
    place = tmp_path / "place"
    place.mkdir()
    os.chown(place, ORDINARY, ORDINARY)
    open_to_users(place)
    real = publish.publish

    def swap_first(draft: publish.Draft) -> None:
        run_as_user("", SWAP, place, victim)
        real(draft)

    monkeypatch.setattr(publish, "publish", swap_first)
    publish.write_atomically(place / "report", b"words")
    assert (place / "report").read_bytes() == b"words"
    assert content(victim) == {"file": b"precious"}
