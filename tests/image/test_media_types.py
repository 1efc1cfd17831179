from __future__ import annotations

import pytest

from builder.errors import UnsupportedImage
from builder.image.media_types import layer_compression

OCI = "application/vnd.oci.image.layer."
DOCKER = "application/vnd.docker.image.rootfs."


@pytest.mark.parametrize(
    ("media_type", "compression"),
    [
        (OCI + "v1.tar", "none"),
        (OCI + "v1.tar+gzip", "gzip"),
        (OCI + "v1.tar+zstd", "zstd"),
        (OCI + "v1.tar+bzip2", "bzip2"),
        (OCI + "v1.tar+xz", "xz"),
        (OCI + "nondistributable.v1.tar", "none"),
        (OCI + "nondistributable.v1.tar+gzip", "gzip"),
        (OCI + "nondistributable.v1.tar+zstd", "zstd"),
        (DOCKER + "diff.tar", "none"),
        (DOCKER + "diff.tar.gzip", "gzip"),
        (DOCKER + "diff.tar.zstd", "zstd"),
        (DOCKER + "foreign.diff.tar", "none"),
        (DOCKER + "foreign.diff.tar.gzip", "gzip"),
    ],
)
def test_a_layer_media_type_names_its_compression(media_type: str, compression: str) -> None:
    assert layer_compression(media_type) == compression


@pytest.mark.parametrize("media_type", [OCI + "v1.tar+encrypted", OCI + "v1.tar+gzip+encrypted"])
def test_an_encrypted_layer_is_refused_with_what_to_do(media_type: str) -> None:
    with pytest.raises(UnsupportedImage) as caught:
        layer_compression(media_type, "layer 1")
    assert caught.value.what == "layer 1"
    assert "encrypted; decrypt the image first" in caught.value.reason


@pytest.mark.parametrize(
    "media_type",
    [
        "",
        "application/vnd.in-toto+json",
        "application/vnd.dev.cosign.simplesigning.v1+json",
        "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
        "application/octet-stream",
        OCI + "nydus.blob.v1",
        OCI + "v1.tar+lz4",
        OCI + "v1.tar.gzip",
        OCI + "v1.TAR+gzip",
        OCI + "v1.tar+gzip ",
        DOCKER + "diff.tar+gzip",
    ],
)
def test_a_media_type_that_is_no_tar_is_refused(media_type: str) -> None:
    with pytest.raises(UnsupportedImage) as caught:
        layer_compression(media_type)
    assert caught.value.reason == f"media type {media_type!r} is no root file system layer"
