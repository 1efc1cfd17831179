"""What the store's transport does with stores as they can be; written by hand, so that any user can run this."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import struct
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support.command import run
from support.holding import hold, release
from support.images import OCI, Made, Spec, add_image, digest, dumps, index_bytes, platform_object
from support.stores import (
    add_record,
    data_name,
    diff_path,
    edit,
    reference,
    tar_split_path,
    write_image,
    write_layers,
    write_store,
)
from support.tars import directory, file, tar

from builder.errors import (
    BlobMissing,
    BuilderError,
    ImageNotFound,
    ImageRefused,
    InvalidReference,
    MalformedArchive,
    MalformedDocument,
    UnsafeFile,
    UnsupportedImage,
)
from builder.events import Event, Notice
from builder.image.image import Image
from builder.image.platform import Platform
from builder.sources import open_source
from builder.sources.access import Access
from builder.sources.resolve import resolve

LAYERS = (tar(directory("etc"), file("etc/motd", b"first\n")), tar(file("etc/motd", b"last\n")))
APP = Spec(LAYERS, tag="localhost/app:1")


def image(text: str, platform: str | None = None, said: list[Event] | None = None) -> Image:
    access = Access() if said is None else Access(listen=said.append)
    with closing(open_source(text, access)) as source:
        return resolve(source, text, Platform.parse(platform) if platform else None)


def contents(text: str) -> list[bytes]:
    with closing(open_source(text)) as source:
        found = []
        for layer in resolve(source, text, None).layers:
            with source.open(layer.descriptor) as blob:
                found.append(blob.read())
        return found


@pytest.fixture
def store(tmp_path: Path) -> Path:
    write_store(tmp_path / "store", APP)
    return tmp_path / "store"


def layer_ids(store: Path) -> list[str]:
    return [each["id"] for each in json.loads((store / "overlay-layers/layers.json").read_text())]


def test_images_share_layers(tmp_path: Path) -> None:
    other = Spec((*LAYERS, tar(file("other"))), tag="localhost/other:1")
    write_store(tmp_path, APP, other)
    assert len(layer_ids(tmp_path)) == 3
    assert contents(reference(tmp_path, "app:1")) == list(LAYERS)
    assert contents(reference(tmp_path, "other:1")) == list(other.layers)


def test_an_image_may_list_a_layer_twice_or_have_none(tmp_path: Path) -> None:
    write_store(tmp_path, Spec((LAYERS[0], LAYERS[1], LAYERS[0]), tag="localhost/twice:1"))
    write_store(tmp_path, Spec((), tag="localhost/none:1"))
    assert contents(reference(tmp_path, "twice:1")) == [LAYERS[0], LAYERS[1], LAYERS[0]]
    assert contents(reference(tmp_path, "none:1")) == []


def test_layers_that_are_listed_as_volatile(tmp_path: Path) -> None:
    made = write_store(tmp_path, Spec((), tag="localhost/app:1"))[0]
    ids = write_layers(tmp_path, LAYERS[:1])
    ids += write_layers(tmp_path, LAYERS[1:], below=ids[0], file="volatile-layers.json")
    write_image(tmp_path, APP, ["localhost/app:2"], tmp_path / "elsewhere")
    assert made.config != ""
    assert len(json.loads((tmp_path / "overlay-layers/volatile-layers.json").read_text())) == 1
    assert contents(reference(tmp_path, "app:2")) == list(LAYERS)


def test_images_of_the_first_store_count_before_those_of_the_next(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    write_store(second, APP, Spec(LAYERS[:1], tag="localhost/second:1"))
    write_image(first, APP, ["localhost/renamed:1"], second)
    text = f"containers-storage:[overlay@{first}:imagestore={second}]"
    assert contents(f"{text}renamed:1") == list(LAYERS)
    assert contents(f"{text}second:1") == list(LAYERS[:1])
    with pytest.raises(ImageNotFound) as caught:
        image(f"{text}app:1")
    assert caught.value.reason == (
        f"there is no such image in {first} and {second}; there are: localhost/renamed:1, localhost/second:1"
    )


def test_a_name_means_what_it_does_in_the_first_store_that_knows_it(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    write_store(first, Spec(LAYERS[:1], tag="localhost/app:1"))
    made = write_store(second, APP)[0]
    text = f"containers-storage:[overlay@{first}:imagestore={second}]"
    assert contents(f"{text}app:1") == list(LAYERS[:1])
    assert contents(f"{text}{made.config[7:]}") == list(LAYERS)


def test_with_a_separate_image_store_the_parts_of_a_layer_are_in_both(tmp_path: Path) -> None:
    images, graph = tmp_path / "images", tmp_path / "graph"
    write_store(images, APP)
    (graph / "overlay-layers").mkdir(parents=True)
    for path in (images / "overlay-layers").glob("*.tar-split.gz"):
        path.rename(graph / "overlay-layers" / path.name)
    conf = tmp_path / "storage.conf"
    conf.write_text(f'[storage]\ngraphroot = "{graph}"\nimagestore = "{images}"\n')
    done = run("inspect", "containers-storage:app:1", CONTAINERS_STORAGE_CONF=str(conf))
    assert done.returncode == 0, done.stderr
    assert "could not be verified" not in done.stderr


def test_an_additional_store_that_is_not_there_is_passed_over(store: Path) -> None:
    assert image(f"containers-storage:[overlay@{store}:imagestore={store}/absent]app:1").layers != ()


def test_a_name_that_can_mean_several_images_is_refused(tmp_path: Path) -> None:
    write_store(tmp_path, APP, Spec(LAYERS[:1], tag="docker.io/library/app:1"))
    with pytest.raises(InvalidReference) as caught:
        image(reference(tmp_path, "app:1"))
    assert "docker.io/library/app:1, localhost/app:1; write one of them in full" in caught.value.reason
    assert len(image(reference(tmp_path, "docker.io/app:1")).layers) == 1


def test_the_start_of_several_ids_is_refused(tmp_path: Path) -> None:
    made = write_store(tmp_path, APP)[0]
    edit(
        tmp_path / "overlay-images/images.json",
        lambda items: [*items, {"id": made.config[7:17] + "0" * 54, "names": ["localhost/b:1"]}],
    )
    with pytest.raises(InvalidReference, match="can mean several images: localhost/app:1, localhost/b:1"):
        image(reference(tmp_path, made.config[7:17]))
    assert image(reference(tmp_path, made.config[7:])).layers != ()


def made_for(root: Path, platforms: dict[str, Spec]) -> tuple[bytes, dict[str, Made]]:
    """Put one image for each platform into a store, and give an index of all."""
    made, entries = {}, []
    for platform, spec in platforms.items():
        made[platform] = write_image(root, spec, [], root)
        _, described = add_image({}, spec)
        entries.append({**described, "platform": platform_object(platform)})
    return index_bytes(entries), made


PLATFORMS = {
    name: Spec((tar(file("platform", name.encode())),), platform=name) for name in ("linux/amd64", "linux/arm64")
}


def test_images_pulled_by_the_digest_of_their_index_are_chosen_by_platform(tmp_path: Path) -> None:
    index, made = made_for(tmp_path, PLATFORMS)
    edit(
        tmp_path / "overlay-images/images.json",
        lambda items: [
            {
                **each,
                "names": ["docker.io/library/app@" + digest(index)],
                "big-data-digests": each["big-data-digests"] | {f"manifest-{digest(index)}": digest(index)},
            }
            for each in items
        ],
    )
    for each in made.values():
        place = tmp_path / "overlay-images" / each.config[7:]
        (place / data_name(f"manifest-{digest(index)}")).write_bytes(index)
    text = reference(tmp_path, f"app@{digest(index)}")
    for platform in PLATFORMS:
        found = image(text, platform)
        assert str(found.config_digest) == made[platform].config
        assert str(found.digest) == made[platform].manifest


def test_an_image_pulled_by_the_digest_of_an_index_is_the_only_one_there(tmp_path: Path) -> None:
    index, made = made_for(tmp_path, {"linux/arm64": PLATFORMS["linux/arm64"]})
    (only,) = made.values()
    add = {f"manifest-{digest(index)}": index}
    manifest = (tmp_path / "overlay-images" / only.config[7:] / "manifest").read_bytes()
    files, _ = add_image({}, PLATFORMS["linux/arm64"])
    assert files.config == only.config
    config = next((tmp_path / "overlay-images" / only.config[7:]).glob("=c2hh*")).read_bytes()
    data = {**add, f"manifest-{only.manifest}": manifest, "manifest": manifest, only.config: config}
    record = {"id": only.config[7:], "names": [f"quay.io/x/y@{digest(index)}"], "layer": layer_ids(tmp_path)[0]}
    add_record(tmp_path, only.config[7:], record, data)
    for wanted in (digest(index), only.manifest):
        assert str(image(reference(tmp_path, f"quay.io/x/y@{wanted}")).digest) == only.manifest


def write_list(root: Path, index: bytes) -> None:
    add_record(
        root, "1" * 64, {"id": "1" * 64, "names": ["localhost/list:1"]}, {"manifest": index, "instances.json": b"{}"}
    )


def test_a_manifest_list_is_resolved_to_the_stores_images(tmp_path: Path) -> None:
    index, made = made_for(tmp_path, PLATFORMS)
    write_list(tmp_path, index)
    for platform in PLATFORMS:
        assert str(image(reference(tmp_path, "list:1"), platform).config_digest) == made[platform].config


def test_of_a_manifest_list_only_what_is_chosen_must_be_there_and_whole(tmp_path: Path) -> None:
    index, made = made_for(tmp_path, PLATFORMS)
    write_list(tmp_path, index)
    tar_split_path(tmp_path, layer_ids(tmp_path)[1]).write_bytes(b"")
    edit(tmp_path / "overlay-images/images.json", lambda items: items)
    assert str(image(reference(tmp_path, "list:1"), "linux/amd64").config_digest) == made["linux/amd64"].config
    with pytest.raises(MalformedArchive, match="no intact tar-split"):
        image(reference(tmp_path, "list:1"), "linux/arm64")
    edit(
        tmp_path / "overlay-images/images.json",
        lambda items: [each for each in items if each["id"] != made["linux/amd64"].config[7:]],
    )
    with pytest.raises(BlobMissing, match="looked for in"):
        image(reference(tmp_path, "list:1"), "linux/amd64")


def test_inputs_change_when_the_name_means_another_image_and_not_with_an_id(store: Path) -> None:
    made = json.loads((store / "overlay-images/images.json").read_text())[0]["id"]
    own = [f"{store}/overlay-images/{made}/manifest", *(str(tar_split_path(store, each)) for each in layer_ids(store))]

    def inputs(name: str) -> list[str]:
        with closing(open_source(reference(store, name))) as source:
            resolve(source, name, None)
            return source.inputs()

    assert inputs("app:1") == [f"{store}/overlay-images/images.json", *own]
    assert inputs(made[:12]) == own
    assert [name for name in inputs("app:1") if "=" in name.removeprefix(str(store))] == []


def test_a_depfile_of_a_stored_image_is_one_for_make(store: Path, tmp_path: Path) -> None:
    if shutil.which("make") is None:
        pytest.skip("NOT RUN: make is not installed")
    done = run("build", reference(store, "app:1"), "-o", tmp_path / "d.erofs", "--depfile", tmp_path / "d")
    assert done.returncode == 0, done.stderr
    target = str(tmp_path / "d.erofs")
    (tmp_path / "Makefile").write_text(f"include d\n{target}:\n\ttouch $@\n")
    assert subprocess.run(["make", "-q", target], cwd=tmp_path, check=False, capture_output=True).returncode == 0
    os.utime(store / "overlay-images/images.json", (2**33, 2**33))
    assert subprocess.run(["make", "-q", target], cwd=tmp_path, check=False, capture_output=True).returncode == 1


def test_no_store_at_all_says_who_named_it(tmp_path: Path) -> None:
    done = run(
        "inspect", "containers-storage:app", HOME=str(tmp_path), _CONTAINERS_ROOTLESS_UID="1000", XDG_DATA_HOME=""
    )
    assert done.returncode == 1
    assert (
        f"{tmp_path}/.local/share/containers/storage: there is no such directory (named by the default)" in done.stderr
    )


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


def test_a_layer_kept_as_composefs_is_refused(store: Path) -> None:
    (diff_path(store, layer_ids(store)[0]).parent / "composefs-data").mkdir()
    with pytest.raises(UnsupportedImage, match="zstd:chunked layer that was pulled in parts"):
        contents(reference(store, "app:1"))


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
    opened = len(os.listdir("/proc/self/fd"))
    with pytest.raises(UnsafeFile):
        open_source(reference(store, "app:1"))
    assert len(os.listdir("/proc/self/fd")) == opened


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
    found = image(reference(store, "app:1"))
    assert [layer.descriptor.rebuilt for layer in found.layers] == [False, True]
    done = run("build", reference(store, "app:1"), "-o", tmp_path / "disk.erofs")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("so its diff_id could not be verified") == 1


def test_a_writer_is_waited_for_and_that_is_said(store: Path) -> None:
    other = hold(store / "overlay-images/images.lock", fcntl.LOCK_EX)
    said: list[Event] = []

    def listen(event: Event) -> None:
        said.append(event)
        release(other)

    with closing(open_source(reference(store, "app:1"), Access(listen=listen))) as source:
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
    "images.json is a fifo": lambda store: (
        (store / "overlay-images/images.json").unlink(),
        os.mkfifo(store / "overlay-images/images.json"),
    ),
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
