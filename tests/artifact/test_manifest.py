"""Manifests of disks: what is written is what is read, and nonsense is refused by its place."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from builder.artifact import manifest
from builder.artifact.manifest import Disk
from builder.errors import ImageRefused, MalformedDocument, UnsupportedImage
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest

DISK = Disk("ext4", 8192, Digest.of(b"disk"))
LAYER = manifest.disk_layer(DISK, Digest.of(b"layer"), 77)
RECORD = manifest.metadata_layer(DISK, b"{}")
SUBJECT = Descriptor("application/vnd.oci.image.manifest.v1+json", Digest.of(b"image"), 5)


def written(layers: list[Descriptor], subject: Descriptor | None = None) -> bytes:
    said = manifest.describe(DISK, None)
    return manifest.render_manifest(manifest.EMPTY_CONFIG, layers, said, subject, manifest.ARTIFACT_TYPE)


@pytest.mark.parametrize("record", [None, RECORD])
@pytest.mark.parametrize("subject", [None, SUBJECT])
def test_what_is_written_is_read(record: Descriptor | None, subject: Descriptor | None) -> None:
    data = written([LAYER, *([record] if record else [])], subject)
    assert manifest.parse_artifact(data, "it") == manifest.Artifact(DISK, LAYER, record)
    assert manifest.is_disk(data)
    assert data == written([LAYER, *([record] if record else [])], subject)
    stated = {"mediaType": SUBJECT.media_type, "digest": str(SUBJECT.digest), "size": 5}
    assert json.loads(data).get("subject") == (stated if subject else None)


Change = Callable[[dict[str, Any]], object]


def annotate(name: str, value: str | None) -> Change:
    def change(document: dict[str, Any]) -> None:
        document["annotations"].pop(name)
        if value is not None:
            document["annotations"][name] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (annotate(manifest.SIZE, "-1"), "is '-1', which is no size"),
        (annotate(manifest.SIZE, "1" * 20), "which is no size"),
        (annotate(manifest.SIZE, "\u0661"), "which is no size"),
        (annotate(manifest.SIZE, None), "which is no size"),
        (annotate(manifest.DIGEST, "sha256:x"), "takes 64 hex digits"),
        (annotate(manifest.DIGEST, "sha512:" + "0" * 128), "is no sha256"),
        (annotate(manifest.DIGEST, None), "must be written algorithm:hex"),
        (annotate(manifest.FORMAT, "../../etc"), "is '../../etc', no format"),
        (lambda document: document.update(annotations=[]), "which is no size"),
        (lambda document: document.update(layers=[]), "$.layers: has 0 disks"),
        (lambda document: document["layers"][0].update(size=1 << 62), "bytes for a disk of 8192, far more than"),
        (lambda document: document.update(layers=document["layers"] * 2), "has 2 disks"),
        (lambda document: document["layers"].extend(document["layers"][1:]), "2 files of metadata"),
        (lambda document: document["layers"][0].update(digest="x"), "$.layers[0].digest: must be written"),
        (lambda document: document.update(layers="none"), "expected `array`"),
        (lambda document: document.pop("layers"), "$.layers: is missing"),
    ],
)
def test_nonsense_is_refused(change: Change, said: str) -> None:
    document = json.loads(written([LAYER, RECORD]))
    change(document)
    with pytest.raises(MalformedDocument) as caught:
        manifest.parse_artifact(json.dumps(document).encode(), "it")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"layers":[],"artifactType":"application/x"}', "is an artifact of type 'application/x', and no disk"),
        (b'{"layers":[]}', "is an image, and no disk"),
        (b'{"layers":[],"config":{"mediaType":"application/y"}}', "an artifact of type 'application/y', and no disk$"),
        (b'{"layers":[],"config":1}', "is an image, and no disk"),
        (b'{"manifests":[]}', "is an index"),
        (b"[]", "is not a JSON object"),
        (b"\xff", "is not UTF-8"),
    ],
)
def test_what_is_no_disk_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(ImageRefused, match=said) as caught:
        manifest.parse_artifact(data, "it")
    assert isinstance(caught.value, (UnsupportedImage, MalformedDocument))
    assert not manifest.is_disk(data)
