"""Stores that are odd, damaged, locked or not there; written by hand, so that any user can run this."""

from __future__ import annotations

import fcntl
import json
import os
import struct
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support.command import run
from support.holding import hold, release
from support.images import OCI, add_image, digest, dumps
from support.leaks import no_descriptor_left
from support.stores import (
    add_record,
    diff_path,
    edit,
    reference,
    tar_split_path,
    write_store,
)
from support.written_store import APP, LAYERS, contents, image, layer_ids

from builder.errors import (
    BuilderError,
    ImageNotFound,
    ImageRefused,
    InvalidReference,
    MalformedDocument,
    UnsafeFile,
    UnsupportedImage,
)
from builder.events import Event, Notice
from builder.sources import open_source
from builder.sources.access import Means
from builder.sources.resolve import resolve
from builder.sources.source import is_rebuilt


def test_no_store_at_all_says_who_named_it(tmp_path: Path) -> None:
    done = run(
        "inspect", "containers-storage:app", HOME=str(tmp_path), _CONTAINERS_ROOTLESS_UID="1000", XDG_DATA_HOME=""
    )
    assert done.returncode == 1
    assert (
        f"{tmp_path}/.local/share/containers/storage: there is no such directory (named by the default)" in done.stderr
    )


def test_a_store_without_images_says_that_there_are_others(tmp_path: Path) -> None:
    with no_descriptor_left(), pytest.raises(ImageNotFound) as caught:
        image(reference(tmp_path, "app:1"))
    assert caught.value.reason == f"{tmp_path} holds no image at all; each user has a store, podman info says where"


def test_inside_podman_unshare_the_users_store_is_read(tmp_path: Path) -> None:
    write_store(tmp_path / ".local/share/containers/storage", APP)
    done = run(
        "inspect", "containers-storage:app:1", HOME=str(tmp_path), _CONTAINERS_ROOTLESS_UID="1000", XDG_DATA_HOME=""
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("text", ["containers-storage:[overlay@/x]", "containers-storage:[overlay@x]y"])
def test_a_reference_that_names_nothing_is_wrong_usage(text: str) -> None:
    with pytest.raises(InvalidReference):
        open_source(text)


def test_other_drivers_are_refused(tmp_path: Path) -> None:
    (tmp_path / "btrfs-images").mkdir()
    for text in (
        reference(tmp_path, "x"),
        f"containers-storage:[btrfs@{tmp_path}]x",
        f"containers-storage:[{tmp_path}]x",
    ):
        with pytest.raises(UnsupportedImage, match=r"its driver is btrfs, and only overlay stores can be read"):
            open_source(text)


def test_a_store_of_overlay_is_read_whatever_else_is_there(store: Path) -> None:
    (store / "vfs-images").mkdir()
    assert image(reference(store, "app:1")).layers != ()


def test_a_layer_of_an_additional_layer_store_is_refused(store: Path, tmp_path: Path) -> None:
    diff = diff_path(store, layer_ids(store)[0])
    diff.rename(tmp_path / "elsewhere")
    diff.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeFile):
        contents(reference(store, "app:1"))


@pytest.mark.parametrize("part", ["overlay-images", "overlay-layers", "overlay"])
def test_no_part_of_a_store_is_a_symlink(store: Path, tmp_path: Path, part: str) -> None:
    (store / part).rename(tmp_path / "elsewhere")
    (store / part).symlink_to(tmp_path / "elsewhere")
    with no_descriptor_left(), pytest.raises(UnsafeFile):
        open_source(reference(store, "app:1"))


def test_the_store_itself_may_be_reached_through_symlinks(store: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(store)
    assert contents(reference(tmp_path / "link", "app:1")) == list(LAYERS)


def test_a_store_of_years_ago_has_the_manifest_under_one_key(store: Path) -> None:
    made = json.loads((store / "overlay-images/images.json").read_text())[0]
    for path in (store / "overlay-images" / made["id"]).glob("=bWFu*"):
        path.unlink()
    assert str(image(reference(store, f"app@{made['digest']}")).digest) == made["digest"]


def test_layers_without_a_recorded_digest_are_verified_as_well(store: Path) -> None:
    edit(
        store / "overlay-layers/layers.json",
        lambda items: [{key: value for key, value in each.items() if not key.startswith("diff-")} for each in items],
    )
    assert contents(reference(store, "app:1")) == list(LAYERS)
    (diff_path(store, layer_ids(store)[0]) / "etc/motd").write_bytes(b"fIrst\n")
    done = run("build", reference(store, "app:1"), "-o", store / "disk.erofs")
    assert (done.returncode, "expected sha256:" in done.stderr) == (3, True)


def test_recorded_sizes_are_not_believed(store: Path) -> None:
    edit(store / "overlay-layers/layers.json", lambda items: [{**each, "diff-size": 1} for each in items])
    assert [layer.descriptor.size for layer in image(reference(store, "app:1")).layers] == [
        len(each) for each in LAYERS
    ]


def test_a_manifest_that_does_not_fit_its_config_is_refused(tmp_path: Path) -> None:
    files: dict[str, object] = {}
    add_image(files, APP)  # type: ignore[arg-type]
    made = write_store(tmp_path, APP)[0]
    place = tmp_path / "overlay-images" / made.config[7:]
    manifest = json.loads((place / "manifest").read_bytes())
    manifest["layers"].pop()
    record = json.loads((tmp_path / "overlay-images/images.json").read_text())[0]
    config = next(place.glob("=c2hh*")).read_bytes()
    add_record(tmp_path, record["id"], record, {"manifest": dumps(manifest), made.config: config})
    with pytest.raises(MalformedDocument, match="has 2 entries, but the manifest has 1 layers"):
        image(reference(tmp_path, "app:1"))


def test_a_layer_without_tar_split_is_said_to_be_unverified(store: Path, tmp_path: Path) -> None:
    tar_split_path(store, layer_ids(store)[1]).unlink()
    with closing(open_source(reference(store, "app:1"))) as source:
        layers = resolve(source, "it", None).layers
        assert [is_rebuilt(source, layer.descriptor) for layer in layers] == [False, True]
    done = run("build", reference(store, "app:1"), "-o", tmp_path / "disk.erofs")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("so its diff_id could not be verified") == 1


def test_a_writer_is_waited_for_and_that_is_said(store: Path) -> None:
    other = hold(store / "overlay-images/images.lock", fcntl.LOCK_EX)
    said: list[Event] = []

    def listen(event: Event) -> None:
        said.append(event)
        release(other)

    with closing(open_source(reference(store, "app:1"), means=Means(listen=listen))) as source:
        resolve(source, "R", None)
    assert said == [Notice(f"waiting for another program to finish with {store}/overlay-images")]


def test_layers_are_locked_for_as_long_as_one_is_read(store: Path) -> None:
    def may_write() -> bool:
        with (store / "overlay-layers/layers.lock").open("r+") as lock:
            request = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0)
            try:
                fcntl.fcntl(lock, fcntl.F_OFD_SETLK, request)
            except BlockingIOError:
                return False
            return True

    text = reference(store, "app:1")
    with closing(open_source(text)) as source:
        layers = resolve(source, text, None).layers
        assert may_write()
        with source.open(layers[0].descriptor) as blob:
            blob.read(10)
            assert not may_write()
        assert may_write()


def test_a_store_may_be_read_only(store: Path) -> None:
    paths = [store, *store.rglob("*")]
    modes = {path: path.stat().st_mode for path in paths}
    for path in paths:
        path.chmod(modes[path] & ~0o222)
    try:
        assert contents(reference(store, "app:1")) == list(LAYERS)
    finally:
        for path in paths:
            path.chmod(modes[path])


def _put_a_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a layer's parent is itself": lambda store: edit(
        store / "overlay-layers/layers.json", lambda items: [{**each, "parent": each["id"]} for each in items]
    ),
    "IDs repeat": lambda store: edit(store / "overlay-layers/layers.json", lambda items: items + items),
    "an ID is a path": lambda store: edit(
        store / "overlay-images/images.json", lambda items: [{**each, "id": "../x"} for each in items]
    ),
    "another diff_id": lambda store: edit(
        store / "overlay-layers/layers.json", lambda items: [{**each, "diff-digest": digest(b"")} for each in items]
    ),
    "incomplete": lambda store: edit(
        store / "overlay-layers/layers.json", lambda items: [{**each, "flags": {"incomplete": True}} for each in items]
    ),
    "a digest is none": lambda store: edit(
        store / "overlay-images/images.json",
        lambda items: [{**each, "big-data-digests": {"manifest": "sha256:\n"}} for each in items],
    ),
    "images.json is a fifo": lambda store: _put_a_fifo(store / "overlay-images/images.json"),
    "layers.json is nested": lambda store: (store / "overlay-layers/layers.json").write_bytes(b"[" * 1_000_000),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_store_is_refused(store: Path, what: str) -> None:
    DAMAGE[what](store)
    with pytest.raises(BuilderError) as caught:
        image(reference(store, "app:1"))
    assert isinstance(caught.value, ImageRefused)
    assert str(caught.value).isprintable()
    # Layers are named by their IDs alone where it is not known in which store they should be.
    assert str(caught.value).startswith((f"{store}/", "manifest ", "image config ", "layer "))


def test_the_media_types_are_those_of_plain_layers(store: Path) -> None:
    found = image(reference(store, "app:1"))
    assert {layer.descriptor.media_type for layer in found.layers} == {f"{OCI}layer.v1.tar"}
    assert [layer.descriptor.digest for layer in found.layers] == [layer.diff_id for layer in found.layers]
