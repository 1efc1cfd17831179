from __future__ import annotations

import hashlib

import pytest

from builder.errors import MalformedDocument
from builder.image.config import ImageConfig
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.image import Layer, pair
from builder.image.manifest import Manifest
from builder.image.media_types import OCI_CONFIG, OCI_LAYER, OCI_LAYER_GZIP, OCI_MANIFEST

TARS = [Digest.of(b"tar one"), Digest.of(b"tar two")]
DIGEST = Digest.of(b"manifest")


def manifest(media_type: str, *blobs: bytes) -> Manifest:
    layers = tuple(Descriptor(media_type, Digest.of(blob), len(blob)) for blob in blobs)
    return Manifest(OCI_MANIFEST, Descriptor(OCI_CONFIG, Digest.of(b"config"), 6), layers)


def config(*diff_ids: Digest, author: str | None = None) -> ImageConfig:
    return ImageConfig("linux", "amd64", diff_ids, author=author)


def test_each_layer_is_paired_with_the_diff_id_in_its_place() -> None:
    parts = manifest(OCI_LAYER_GZIP, b"one", b"two"), config(*TARS)
    image = pair("oci:x", DIGEST, *parts)
    assert image.layers == (
        Layer(0, 2, parts[0].layers[0], TARS[0]),
        Layer(1, 2, parts[0].layers[1], TARS[1]),
    )
    assert (image.reference, image.digest, image.manifest, image.config) == ("oci:x", DIGEST, *parts)
    assert image.config_digest == Digest.of(b"config")


def test_a_layer_is_called_by_its_place_from_one_and_the_start_of_its_digest() -> None:
    layers = pair("oci:x", DIGEST, manifest(OCI_LAYER_GZIP, b"one", b"two"), config(*TARS)).layers
    assert [layer.name for layer in layers] == [
        f"layer 1 of 2 (sha256:{hashlib.sha256(b'one').hexdigest()[:12]})",
        f"layer 2 of 2 (sha256:{hashlib.sha256(b'two').hexdigest()[:12]})",
    ]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_config_with_more_or_fewer_diff_ids_than_layers_is_refused(count: int) -> None:
    diff_ids = [*TARS, Digest.of(b"three")][:count]
    with pytest.raises(MalformedDocument) as caught:
        pair("oci:x", DIGEST, manifest(OCI_LAYER, b"one", b"two"), config(*diff_ids))
    assert (caught.value.document, caught.value.path) == ("oci:x: image config", "$.rootfs.diff_ids")
    assert caught.value.reason == f"has {count} entries, but the manifest has 2 layers"


def test_identity_is_the_hash_of_the_diff_ids() -> None:
    image = pair("oci:x", DIGEST, manifest(OCI_LAYER, b"one", b"two"), config(*TARS))
    assert image.identity == hashlib.sha256(f"{TARS[0]}\n{TARS[1]}\n".encode()).digest()


def test_identity_is_the_same_for_another_transport_compression_and_story() -> None:
    image = pair("oci:x", DIGEST, manifest(OCI_LAYER, b"one", b"two"), config(*TARS))
    other = pair("docker-archive:y", None, manifest(OCI_LAYER_GZIP, b"1", b"2"), config(*TARS, author="me"))
    assert image.identity == other.identity


def test_identity_differs_when_layers_differ_in_content_order_or_number() -> None:
    contents = [TARS, TARS[::-1], TARS[:1], []]
    identities = {
        pair("oci:x", None, manifest(OCI_LAYER, *[b"x"] * len(diff_ids)), config(*diff_ids)).identity
        for diff_ids in contents
    }
    assert len(identities) == len(contents)


def test_an_image_without_layers_is_an_image() -> None:
    image = pair("oci:x", DIGEST, manifest(OCI_LAYER), config())
    assert (image.layers, image.identity) == ((), hashlib.sha256().digest())
