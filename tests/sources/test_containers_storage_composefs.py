"""Layers that podman keeps as a composefs (storage.conf's use_composefs): files under the digests of their contents.

Written by hand as podman 5.4 writes them: Debian 12 and 13 have no mkcomposefs, which podman asks for it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.images import Spec, digest
from support.leaks import no_descriptor_left
from support.stores import data_name, diff_path, edit, reference, tar_split_path, write_store
from support.tars import directory, file, hardlink, symlink, tar
from support.written_store import contents, image, layer_ids

from builder import build
from builder.containers_storage.composefs import TABLE
from builder.errors import DigestMismatch, ImageRefused

LAYERS = (
    tar(directory("etc"), file("./etc/motd", b"first\n"), hardlink("etc/again", "etc/motd"), symlink("link", "etc")),
    tar(file("etc/motd", b"last\n"), file("etc/empty", b""), file("etc/other", b"last\n"), file("größe", b"utf-8")),
)


def table_path(store: Path, layer: str) -> Path:
    return store / "overlay-layers" / layer / data_name(TABLE)


def keep_as_composefs(store: Path, layer: str) -> None:
    """Put the files of a layer where podman does."""
    diff = diff_path(store, layer)
    unpacked = diff.rename(diff.with_name("unpacked"))
    entries: list[dict[str, object]] = [{"type": "dir", "name": "etc/", "mode": 0o755}]
    for path in sorted(unpacked.rglob("*")):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            name, found = str(path.relative_to(unpacked)), digest(content)
            entries.append({"type": "reg", "name": name, "size": len(content), "digest": found, "offset": 130})
            entries.append({"type": "chunk", "name": name, "offset": 200, "chunkDigest": found})
            place = diff / found[7:9] / found[9:]
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
    shutil.rmtree(unpacked)
    (diff.parent / "composefs-data").mkdir()
    table_path(store, layer).parent.mkdir()
    table_path(store, layer).write_text(json.dumps({"version": 1, "entries": entries}))
    big = {"big-data-names": [TABLE, "zstd-chunked-layer-data"]}
    edit(
        store / "overlay-layers/layers.json",
        lambda items: [{**each, **big} if each["id"] == layer else each for each in items],
    )


@pytest.fixture
def store(tmp_path: Path) -> Path:
    write_store(tmp_path / "store", Spec(LAYERS, tag="localhost/app:1"))
    for layer in layer_ids(tmp_path / "store"):
        keep_as_composefs(tmp_path / "store", layer)
    return tmp_path / "store"


def test_layers_come_out_as_they_went_in(store: Path, tmp_path: Path) -> None:
    with no_descriptor_left():
        assert contents(reference(store, "app:1")) == list(LAYERS)
    write_store(tmp_path / "plain", Spec(LAYERS, tag="localhost/app:1"))
    disks = [build(reference(root, "app:1"), tmp_path / f"{root.name}.erofs") for root in (store, tmp_path / "plain")]
    assert disks[0].output.read_bytes() == disks[1].output.read_bytes()


def test_one_layer_may_be_kept_so_and_the_next_as_usual(tmp_path: Path) -> None:
    write_store(tmp_path, Spec(LAYERS, tag="localhost/app:1"))
    keep_as_composefs(tmp_path, layer_ids(tmp_path)[1])
    assert contents(reference(tmp_path, "app:1")) == list(LAYERS)


def rename(old: str, new: str) -> Callable[[Path, str], object]:
    return lambda store, layer: table_path(store, layer).write_text(
        table_path(store, layer).read_text().replace(old, new)
    )


def place(store: Path, layer: str) -> Path:
    found = digest(b"last\n")
    return diff_path(store, layer) / found[7:9] / found[9:]


def link_elsewhere(store: Path, layer: str) -> None:
    place(store, layer).unlink()
    place(store, layer).symlink_to("/etc/hostname")


DAMAGE: dict[str, tuple[Callable[[Path, str], object], str]] = {
    "no table": (lambda store, layer: table_path(store, layer).unlink(), "a composefs without names for its files"),
    "half a table": (lambda store, layer: table_path(store, layer).write_text("{"), "is no table of contents"),
    "many entries": (lambda store, layer: table_path(store, layer).write_text("{" * 1_048_577), "more than 1048576"),
    "another name": (rename("etc/motd", "etc/mutt"), "entry './etc/motd'|entry 'etc/motd'"),
    "no digest": (rename(digest(b"last\n"), "sha256:../../../secret"), "has 'sha256:../../../secret' for its digest"),
    "no content": (lambda store, layer: place(store, layer).unlink(), "its content sha256:[0-9a-f]{64} is missing"),
    "a link": (link_elsewhere, "is no regular file"),
    "another size": (lambda store, layer: place(store, layer).write_bytes(b"least\n"), "the file has 6 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_refused(store: Path, what: str) -> None:
    damage, expected = DAMAGE[what]
    damage(store, layer_ids(store)[1])
    with no_descriptor_left(), pytest.raises(ImageRefused, match=expected):
        contents(reference(store, "app:1"))


def test_content_of_another_digest_is_found_out(store: Path, tmp_path: Path) -> None:
    place(store, layer_ids(store)[1]).write_bytes(b"lost\n")
    with pytest.raises(DigestMismatch):
        build(reference(store, "app:1"), tmp_path / "disk.erofs")


def test_without_a_tar_split_there_is_nothing_to_make_a_tar_of(store: Path) -> None:
    tar_split_path(store, layer_ids(store)[0]).unlink()
    with no_descriptor_left(), pytest.raises(ImageRefused, match="no tar-split to verify what became of it"):
        image(reference(store, "app:1"))
    edit(store / "overlay-layers/layers.json", lambda items: [{**each, "big-data-names": []} for each in items])
    with no_descriptor_left(), pytest.raises(ImageRefused, match="is kept as a composefs, without a tar-split"):
        image(reference(store, "app:1"))
