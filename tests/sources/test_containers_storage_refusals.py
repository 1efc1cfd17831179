"""What is refused of a store that real tools wrote, in one line that says what to do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.built_store import images, layer, store_copy
from support.command import run
from support.engines import Engine
from support.stores import diff_path, edit, tar_split_path
from support.users import ids, open_to_users, run_as_user


def _data(store: Path, key: str) -> Path:
    (found,) = [each for each in images(store) if "localhost/app:1" in each.get("names", [])]
    names = [each.name for each in (store / "overlay-images" / found["id"]).iterdir()]
    return store / "overlay-images" / found["id"] / next(name for name in names if name.startswith(key))


def _forget_layer(store: Path) -> None:
    lost = layer(store, 0)
    edit(store / "overlay-layers/layers.json", lambda items: [each for each in items if each["id"] != lost])


def _cut(path: Path, size: int) -> None:
    os.truncate(path, size)


def _grow_image_list(store: Path) -> None:
    os.truncate(store / "overlay-images/images.json", 1 << 30)


def _circle(store: Path) -> None:
    top = layer(store, 1)
    edit(
        store / "overlay-layers/layers.json",
        lambda items: [{**each, "parent": top} if each.get("parent", "") == "" else each for each in items],
    )


def _replace(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "manifest is missing": (lambda store: _data(store, "manifest").unlink(), "the blob is not there"),
    "manifest is changed": (lambda store: _data(store, "manifest").write_text("{}"), "expected sha256:"),
    "config is changed": (lambda store: _data(store, "=c2hh").write_text("{}"), "expected sha256:"),
    "config is missing": (lambda store: _data(store, "=c2hh").unlink(), "the blob is not there"),
    "images.json is bad": (lambda store: (store / "overlay-images/images.json").write_text("[{"), "images.json at $"),
    "layers.json is bad": (lambda store: (store / "overlay-layers/layers.json").write_text("{}"), "layers.json at $"),
    "images.json has a gibibyte": (_grow_image_list, "is longer than"),
    "layer is not listed": (_forget_layer, "is in none of the stores"),
    "layers are a circle": (_circle, "the store has more than 2 layers"),
    "layer is not unpacked": (lambda store: shutil.rmtree(diff_path(store, layer(store, 1))), "its files are not in"),
    "tar-split is cut off": (lambda store: _cut(tar_split_path(store, layer(store, 0)), 300), "no intact tar-split"),
    "tar-split is empty": (lambda store: _cut(tar_split_path(store, layer(store, 0)), 0), "no intact tar-split"),
    "tar-split is no gzip": (
        lambda store: tar_split_path(store, layer(store, 0)).write_bytes(b"x" * 99), "no intact tar-split",
    ),
    "file is changed": (
        lambda store: (diff_path(store, layer(store, 0)) / "etc/motd").write_text("mo7d\n"), "expected sha256:",
    ),
    "file is longer": (
        lambda store: (diff_path(store, layer(store, 0)) / "etc/motd").write_text("motd\n\n"), "the layer's tar 5;",
    ),
    "file is missing": (lambda store: (diff_path(store, layer(store, 0)) / "large").unlink(), "the file is missing"),
    "file is a symlink": (
        lambda store: _replace(diff_path(store, layer(store, 0)) / "large", lambda path: path.symlink_to("/etc/motd")),
        "is no regular file",
    ),
    "file is a fifo": (
        lambda store: _replace(diff_path(store, layer(store, 0)) / "large", os.mkfifo), "is no regular file",
    ),
}  # fmt: skip


@pytest.mark.heavy
@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_store_is_refused_in_one_line(engine: Engine, tmp_path: Path, what: str) -> None:
    damage, expected = DAMAGE[what]
    copy = store_copy(engine, tmp_path)
    damage(copy)
    done = run("--quiet", "build", f"containers-storage:[overlay@{copy}]localhost/app:1", "-o", tmp_path / "disk.erofs")
    assert done.returncode == 3, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert expected in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store"]


def test_an_image_that_is_not_there_lists_those_that_are(engine: Engine) -> None:
    done = run("inspect", engine.reference("absent"))
    assert done.returncode == 1
    assert "there is no such image" in done.stderr
    assert "localhost/app:1, localhost/base:1" in done.stderr


def test_a_vfs_store_is_refused_with_what_to_do(tmp_path: Path) -> None:
    engine = Engine(tmp_path, "vfs")
    engine.run('c=$(buildah from scratch); buildah commit -q "$c" localhost/app:1')
    for reference in (engine.reference("app:1"), f"containers-storage:[vfs@{engine.root}]app:1"):
        done = run("inspect", reference)
        assert done.returncode == 3
        assert f"skopeo copy containers-storage:[vfs@{engine.root}]NAME oci:DIR" in done.stderr


def test_a_file_that_this_user_may_not_read_asks_for_podman_unshare(engine: Engine, tmp_path: Path) -> None:
    """As with the files of other users of a container in a rootless store."""
    copy = store_copy(engine, tmp_path)
    secret = diff_path(copy, layer(copy, 0)) / "large"
    secret.chmod(0)
    reference = f"containers-storage:[{copy}]app:1"
    code = """
from builder import build, BuilderError
try:
    build(sys.argv[1], sys.argv[2])
except BuilderError as error:
    print(error.exit_status, error)
"""
    if os.geteuid() == 0:
        for path in (copy, *copy.rglob("*")):
            os.chown(path, *ids(), follow_symlinks=False)
    target = open_to_users(tmp_path) / "disks"
    target.mkdir()
    target.chmod(0o777)
    said = run_as_user("", code, reference, target / "disk.erofs")
    assert said.startswith("4 ")
    assert f"{secret}: Permission denied" in said
    assert "podman unshare rootfs-builder" in said
