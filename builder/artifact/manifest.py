"""The manifest of a disk as an artifact (OCI image-spec, manifest.md, "Guidelines for Artifact Usage").

Its first layer is the disk, raw and compressed with zstd, under KubeVirt's media type for that, so that what imports
disks from registries takes ours; `artifactType` says what the whole is. A second layer has the metadata that were made
with the disk. The config is the empty one. Annotations describe the disk for who has none of its bytes; only how much
room a pull needs, and what it holds the disk against, depend on them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from builder.disk import FILESYSTEMS
from builder.errors import InvalidDigest, MalformedDocument, UnsupportedImage
from builder.image.descriptor import Descriptor, DescriptorFields, read_descriptor
from builder.image.digest import Digest
from builder.image.document import read_document
from builder.image.media_types import DISK_ARTIFACT, IMAGE_CONFIGS, OCI_EMPTY, OCI_MANIFEST, OLD_DOCKER_CONFIGS
from builder.image.render import render_descriptor
from builder.image.shape import LENIENT, Remarks, convert_document
from builder.output.schema import Record
from builder.words import quoted

ARTIFACT_TYPE = DISK_ARTIFACT
DISK_LAYER = "application/vnd.kubevirt.disk.raw+zstd"
# A disk as it is, which the name is registered for; what mounts layers of an image takes it (erofs-image-spec).
EROFS_LAYER = "application/vnd.erofs"
METADATA_LAYER = "application/vnd.rootfs-builder.disk.metadata.v1+json"

# The two bytes of an empty JSON object, which registries want to have like any config.
EMPTY = b"{}"
EMPTY_CONFIG = Descriptor(OCI_EMPTY, Digest.of(EMPTY), len(EMPTY))

# Without a domain in reverse before them: there is none that is ours.
_OURS = "rootfs-builder."
FORMAT = f"{_OURS}disk.format"
SIZE = f"{_OURS}disk.size"
DIGEST = f"{_OURS}disk.digest"
PLATFORM = f"{_OURS}disk.platform"
ROOT_HASH = f"{_OURS}verity.root-hash"
KERNEL_LINE = f"{_OURS}kernel-command-line."
_TITLE = "org.opencontainers.image.title"
# In bytes, besides twice the disk: zstd itself makes less than 1 % of what it cannot compress, and other frames fit in.
_SLACK = 1 << 20


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk as such: its format (a key of FILESYSTEMS), its size in bytes, and the digest of all its bytes."""

    format: str
    size: int
    digest: Digest


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a manifest says of a disk: the blobs that hold it, and its metadata if there are any."""

    disk: Disk
    layer: Descriptor
    metadata: Descriptor | None


class _Config(msgspec.Struct, rename="camel"):
    media_type: str = ""


class _Fields(msgspec.Struct, rename="camel"):
    layers: list[DescriptorFields]
    config: Annotated[_Config | None, LENIENT] = None
    artifact_type: Annotated[str | None, LENIENT] = None
    annotations: Annotated[dict[str, str] | None, LENIENT] = None


def disk_layer(disk: Disk, digest: Digest, size: int) -> Descriptor:
    """Describe the blob that holds a disk, with a name for the file that `oras pull` and the like make of it."""
    annotations = {
        _TITLE: f"disk.{disk.format}.zst",
        "io.kubevirt.disk.name": "rootdisk",
        "io.kubevirt.disk.size": str(disk.size),
    }
    return Descriptor(DISK_LAYER, digest, size, annotations=annotations)


def metadata_layer(disk: Disk, content: bytes) -> Descriptor:
    """Describe the blob that holds a disk's metadata."""
    annotations = {_TITLE: f"disk.{disk.format}.json"}
    return Descriptor(METADATA_LAYER, Digest.of(content), len(content), annotations=annotations)


def describe(disk: Disk, record: Record | None) -> dict[str, str]:
    """Describe a disk, by itself and by its metadata, in annotations: for who has none of its bytes."""
    annotations = {FORMAT: disk.format, SIZE: str(disk.size), DIGEST: str(disk.digest)}
    if record is not None:
        if record.image is not None:
            annotations[PLATFORM] = record.image.platform
        if record.verity is not None:
            annotations[ROOT_HASH] = record.verity.root_hash
        annotations |= {KERNEL_LINE + vmm: line for vmm, line in record.kernel_command_line.items()}
    return annotations


def render_manifest(
    config: Descriptor,
    layers: Sequence[Descriptor],
    annotations: Mapping[str, str],
    subject: Descriptor | None,
    artifact_type: str | None = None,
) -> bytes:
    """Write the manifest; the same disk and metadata give the same bytes."""
    fields: dict[str, Any] = {"schemaVersion": 2, "mediaType": OCI_MANIFEST}
    if artifact_type:
        fields["artifactType"] = artifact_type
    fields["config"] = render_descriptor(config)
    if config == EMPTY_CONFIG:
        fields["config"]["data"] = "e30="
    fields["layers"] = [render_descriptor(layer) for layer in layers]
    if subject is not None:
        fields["subject"] = render_descriptor(subject)
    fields["annotations"] = dict(sorted(annotations.items()))
    return json.dumps(fields, separators=(",", ":")).encode()


def is_disk(data: bytes) -> bool:
    """Say whether a manifest is that of a disk that this program has pushed, in whatever form."""
    try:
        document = read_document(data, "manifest")
    except MalformedDocument:
        return False
    annotations = document.get("annotations")
    return document.get("artifactType") == ARTIFACT_TYPE or (isinstance(annotations, dict) and FORMAT in annotations)


def parse_artifact(data: bytes, name: str) -> Artifact:
    """Read the manifest `name` of a disk. Raises MalformedDocument, and UnsupportedImage for what is no disk."""
    document = read_document(data, name)
    if "manifests" in document:
        raise UnsupportedImage(name, "is an index, and no disk; name the manifest of a disk")
    fields = convert_document(document, _Fields, name, Remarks())
    annotations = fields.annotations or {}
    raw = any(each.media_type == EROFS_LAYER for each in fields.layers) and FORMAT in annotations
    if fields.artifact_type != ARTIFACT_TYPE and not raw:
        raise UnsupportedImage(name, _what_it_is(fields))
    layers = [read_descriptor(each, name, f"$.layers[{i}]") for i, each in enumerate(fields.layers)]
    disks = [each for each in layers if each.media_type in (DISK_LAYER, EROFS_LAYER)]
    metadata = [each for each in layers if each.media_type == METADATA_LAYER]
    if len(disks) != 1 or len(metadata) > 1:
        raise MalformedDocument(name, "$.layers", f"has {len(disks)} disks and {len(metadata)} files of metadata")
    disk = _read_disk(annotations, name)
    if disks[0].size > 2 * disk.size + _SLACK:
        # Frames that hold nothing could go on for ever, and no limit on disks would end them.
        reason = f"has {disks[0].size} bytes for a disk of {disk.size}, far more than compression can make of it"
        raise MalformedDocument(name, "$.layers", reason)
    return Artifact(disk, disks[0], metadata[0] if metadata else None)


def _what_it_is(fields: _Fields) -> str:
    """Say what a manifest is that is no disk to pull."""
    if FORMAT in (fields.annotations or {}):
        return "is a disk as an image for others, and no artifact; push it without --as to pull it"
    config = fields.config.media_type if fields.config else ""
    # OCI image-spec, manifest.md, "Guidelines for Artifact Usage": without a type, that of the config says it.
    is_image = config in IMAGE_CONFIGS | OLD_DOCKER_CONFIGS
    kind = fields.artifact_type or ("" if is_image else config)
    if kind:
        return f"is an artifact of type {quoted(kind, 200)}, and no disk"
    return "is an image, and no disk; build a disk of an image with rootfs-builder build"


def _read_disk(annotations: Mapping[str, str], name: str) -> Disk:
    size = annotations.get(SIZE, "")
    if not (size.isascii() and size.isdecimal() and len(size) <= 19):
        raise MalformedDocument(name, "$.annotations", f"{SIZE} is {quoted(size, 100)}, which is no size")
    try:
        digest = Digest.parse(annotations.get(DIGEST, ""))
    except InvalidDigest as error:
        raise MalformedDocument(name, "$.annotations", f"{DIGEST} {error.reason}") from error
    if digest.algorithm != "sha256":
        raise MalformedDocument(name, "$.annotations", f"{DIGEST} is no sha256, as that of a disk is")
    if annotations.get(FORMAT) not in FILESYSTEMS:
        raise MalformedDocument(
            name, "$.annotations", f"{FORMAT} is {quoted(annotations.get(FORMAT, ''), 100)}, no format"
        )
    return Disk(annotations[FORMAT], int(size), digest)
