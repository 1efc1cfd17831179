"""Choosing what to copy: documents are handed out as they are, and what nothing vouches for is refused."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest
from support.attested import attested
from support.images import (
    OCI,
    Files,
    Spec,
    add_blob,
    add_image,
    dumps,
    index_bytes,
    layout,
    layout_files,
    write_directory,
)
from support.tars import file, tar

from builder.errors import PlatformNotFound, UnsupportedImage
from builder.events import ignore
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.manifest import Manifest
from builder.image.platform import Platform
from builder.image.render import render_document
from builder.sources import open_source
from builder.sources.resolve import resolve
from builder.sources.selection import select
from builder.sources.source import Root, Source

AMD = Spec((tar(file("a", b"amd")),), tag="1")
ARM = Spec((tar(file("a", b"arm")),), tag="1", platform="linux/arm64")


class Synthesised:
    """A source that puts its manifest together, with layers that it may have rebuilt."""

    def __init__(self, source: Source, rebuilt: bool) -> None:
        self._source = source
        self._rebuilt = rebuilt
        self.manifest = resolve(source, "it", None).manifest

    def root(self) -> Manifest:
        return self.manifest

    def open(self, descriptor: Descriptor) -> BinaryIO:
        return self._source.open(descriptor)

    def original(self, manifest: Descriptor) -> Digest | None:
        return None

    def is_rebuilt(self, layer: Descriptor) -> bool:
        return self._rebuilt

    def inputs(self) -> list[str]:
        return []

    def close(self) -> None:
        self._source.close()


def test_every_document_is_handed_out_as_the_bytes_that_it_is(tmp_path: Path) -> None:
    files, made = layout_files(AMD, ARM, nested="1")
    write_directory(tmp_path, files)
    kept: dict[str, bytes] = {}
    with closing(open_source(f"oci:{tmp_path}")) as source:
        chosen = select(source, "it", None, lambda d, data: kept.__setitem__(str(d.digest), data), ignore)
    expected = {f"sha256:{name[-64:]}": data for name, data in files.items() if name.startswith("blobs/")}
    layers = {layer for image in made for layer in image.layers}
    assert kept == {digest: data for digest, data in expected.items() if digest not in layers}
    assert kept[str(chosen.root.digest)] == chosen.content
    assert [str(image.digest) for image in chosen.images] == [image.manifest for image in made]


def test_what_was_put_together_is_written(tmp_path: Path) -> None:
    layout(tmp_path, AMD)
    kept: dict[Root, bytes] = {}
    with closing(Synthesised(open_source(f"oci:{tmp_path}"), rebuilt=False)) as source:
        chosen = select(source, "it", (), kept.__setitem__, ignore)
        assert chosen.content == render_document(source.manifest)
    assert chosen.content in kept.values()


def test_what_needs_features_of_an_operating_system_is_written_so(tmp_path: Path) -> None:
    """Whoever reads what is kept chooses as it was chosen here."""
    files, made = layout_files(AMD, replace(AMD, config={"User": "1"}))
    index = json.loads(files["index.json"])  # type: ignore[arg-type]
    index["manifests"][0]["platform"]["os.features"] = ["erofs"]
    write_directory(tmp_path, {**files, "index.json": dumps(index)})
    with closing(open_source(f"oci:{tmp_path}:1")) as source:
        chosen = select(source, "it", (Platform("linux", "amd64"),), lambda _descriptor, _data: None, ignore)
    assert [str(image.digest) for image in chosen.images] == [made[1].manifest]
    assert json.loads(chosen.content)["manifests"][0]["platform"]["os.features"] == ["erofs"]


def test_layers_that_nothing_vouches_for_are_refused(tmp_path: Path) -> None:
    layout(tmp_path, AMD)
    with closing(Synthesised(open_source(f"oci:{tmp_path}"), rebuilt=True)) as source:
        with pytest.raises(UnsupportedImage) as caught:
            select(source, "it", (), lambda _descriptor, _data: None, ignore)
    assert caught.value.what == "it: layer 1 of 1"
    assert caught.value.reason.startswith("its tar was put together from unpacked files")


def test_an_index_without_images_has_no_platform(tmp_path: Path) -> None:
    files, _ = layout_files(nested="1")
    write_directory(tmp_path, files)
    with closing(open_source(f"oci:{tmp_path}")) as source, pytest.raises(PlatformNotFound):
        select(source, "it", None, lambda _descriptor, _data: None, ignore)


def test_only_an_index_that_leads_to_an_image_says_what_is_attested_of_it(tmp_path: Path) -> None:
    files: Files = {"oci-layout": dumps({"imageLayoutVersion": "1.0.0"})}
    made, entry = add_image(files, AMD)
    own, others = (attested(made.manifest, files, each) for each in (b"{}", b'{"of":"another"}'))
    beside = add_blob(files, index_bytes([others]), OCI + "index.v1+json")
    index = add_blob(files, index_bytes([beside, entry, own]), OCI + "index.v1+json")
    files["index.json"] = index_bytes([index])
    write_directory(tmp_path, files)
    with closing(open_source(f"oci:{tmp_path}")) as source:
        (image,) = select(source, "it", None, lambda _descriptor, _data: None, ignore).images
    assert [str(each.digest) for each in image.attestations] == [own["digest"]]
