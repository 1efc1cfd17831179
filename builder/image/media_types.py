"""Media types of manifests, indexes, configs and layers, and what each says about its content.

OCI image-spec, media-types.md and layer.md; Docker "Image Manifest Version 2, Schema 2".
"""

from __future__ import annotations

from builder.errors import UnsupportedImage
from builder.words import quoted

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
# The config of artifacts that need none.
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_MANIFEST_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"

# What this program pushes disks as.
DISK_ARTIFACT = "application/vnd.rootfs-builder.disk.v1"

MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
INDEXES = frozenset({OCI_INDEX, DOCKER_MANIFEST_LIST})
IMAGE_CONFIGS = frozenset({OCI_CONFIG, DOCKER_CONFIG})
# What Docker before 1.11, and registries of its time, called the config of a schema 2 manifest.
OLD_DOCKER_CONFIGS = frozenset({"application/octet-stream", "application/json", "text/html", ""})
SCHEMA_1 = frozenset(
    {
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    }
)

# What a layer's media type begins with, and what stands between that and the name of its compression.
# Non-distributable and foreign layers are ordinary ones whose content other servers hand out.
_LAYERS = {
    OCI_LAYER: "+",
    "application/vnd.oci.image.layer.nondistributable.v1.tar": "+",
    DOCKER_LAYER: ".",
    "application/vnd.docker.image.rootfs.foreign.diff.tar": ".",
}
# The specifications name gzip and zstd; bzip2 and xz follow their pattern, as build tools that write them do.
_COMPRESSIONS = ("gzip", "zstd", "bzip2", "xz")
_LAYER_COMPRESSIONS = dict.fromkeys(_LAYERS, "none") | {
    f"{base}{joint}{compression}": compression for base, joint in _LAYERS.items() for compression in _COMPRESSIONS
}


def layer_compression(media_type: str, what: str = "layer") -> str:
    """Name the compression of a layer's tar: `gzip`, `zstd`, `bzip2`, `xz` or `none`.

    Raises UnsupportedImage, which calls the layer `what`, for encrypted layers and for all that is no tar.
    """
    if media_type in _LAYER_COMPRESSIONS:
        return _LAYER_COMPRESSIONS[media_type]
    if media_type.endswith(("+encrypted", "+enc")):
        raise UnsupportedImage(
            what, "the layer is encrypted; decrypt the image first, as with skopeo copy --decryption-key"
        )
    raise UnsupportedImage(what, f"media type {quoted(media_type, 200)} is no root file system layer")
