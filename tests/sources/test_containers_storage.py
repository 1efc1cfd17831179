"""Which image a reference means in stores as they can be; written by hand, so that any user can run this."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from support.command import run
from support.images import Made, Spec, add_image, digest, index_bytes, platform_object
from support.stores import (
    add_record,
    data_name,
    edit,
    reference,
    tar_split_path,
    write_image,
    write_layers,
    write_store,
)
from support.tars import file, tar
from support.written_store import APP, LAYERS, contents, image, layer_ids

from builder.errors import (
    BlobMissing,
    ImageNotFound,
    InvalidReference,
    MalformedArchive,
)
from builder.sources import open_source
from builder.sources.resolve import resolve


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
    (tmp_path / "Makefile").write_text("include d\n" + target.replace(" ", "\\ ") + ":\n\ttouch $@\n")
    assert subprocess.run(["make", "-q", target], cwd=tmp_path, check=False, capture_output=True).returncode == 0
    os.utime(store / "overlay-images/images.json", (2**33, 2**33))
    assert subprocess.run(["make", "-q", target], cwd=tmp_path, check=False, capture_output=True).returncode == 1
