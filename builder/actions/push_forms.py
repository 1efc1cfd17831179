"""The forms in which a disk goes into a registry: what each of them is made of, and how that is read to be sent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from builder.archive.block import padded
from builder.archive.entry import Entry, Kind
from builder.archive.writer import END, headers
from builder.artifact import manifest
from builder.artifact.manifest import Disk
from builder.artifact.pack import Packed, packed
from builder.disk.reading import DiskUnreadable
from builder.errors import UsageError
from builder.events import Listener, Meter, Stage
from builder.exact import read_at
from builder.files.holes import content
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.media_types import OCI_CONFIG, OCI_LAYER_ZSTD
from builder.image.platform import Platform
from builder.output.failures import failures_named
from builder.output.schema import Record

# In bytes: what is read of a blob at once; a connection waits for so much to be taken.
_STEP = 32 * 1024
# Where KubeVirt looks for the disk, and as whom QEMU reads it there.
_PLACE, _QEMU = b"disk/disk.img", 107


@dataclass(frozen=True, slots=True)
class Opened:
    """A disk that is open as `fd`: its path, format and size in bytes, and its metadata if it has any."""

    path: Path
    fd: int
    format: str
    size: int
    metadata: bytes | None
    record: Record | None

    def chunks(self) -> Iterator[bytes]:
        """Read it all; raises DiskUnreadable."""
        return _readable(self.path, content(self.fd, self.size))


@dataclass(frozen=True, slots=True)
class Blob:
    """A blob to be sent: `read` yields it from a position on."""

    descriptor: Descriptor
    read: Callable[[int], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Shape:
    """What goes into a registry for a disk: its manifest's config and layers, and what that says it is."""

    disk: Disk
    config: Blob
    layers: tuple[Blob, ...]
    artifact_type: str | None = None


# `tmpdir` holds what is compressed, until the stack ends.
Form = Callable[[Opened, Path | None, Listener, ExitStack], Shape]


def as_artifact(disk: Opened, tmpdir: Path | None, listen: Listener, stack: ExitStack) -> Shape:
    """Make an artifact of it, with its metadata, which `pull` and `boot` take."""
    blob = _compress(disk.chunks(), disk.size, tmpdir, listen, stack)
    described = Disk(disk.format, disk.size, blob.content)
    layers = [Blob(manifest.disk_layer(described, blob.digest, blob.size), _reader(disk.path, blob.fd, blob.size))]
    if disk.metadata is not None:
        layers.append(held(manifest.metadata_layer(described, disk.metadata), disk.metadata))
    return Shape(described, held(manifest.EMPTY_CONFIG, manifest.EMPTY), tuple(layers), manifest.ARTIFACT_TYPE)


def as_containerdisk(disk: Opened, tmpdir: Path | None, listen: Listener, stack: ExitStack) -> Shape:
    """Make an image of it that KubeVirt boots: nothing but the disk, for QEMU's user to read.

    Raises UsageError for a disk without metadata: an image has to say for which machines it is.
    """
    config = _platform_of(disk, "containerdisk")
    whole = hashlib.sha256()
    folder = headers(Entry(b"disk", Kind.DIRECTORY, 0o755, _QEMU, _QEMU))
    begin = folder + headers(Entry(_PLACE, Kind.FILE, 0o440, _QEMU, _QEMU, size=disk.size))
    end = bytes(padded(disk.size) - disk.size) + END

    def tar() -> Iterator[bytes]:
        yield begin
        for chunk in disk.chunks():
            whole.update(chunk)
            yield chunk
        yield end

    blob = _compress(tar(), len(begin) + disk.size + len(end), tmpdir, listen, stack)
    layer = Blob(Descriptor(OCI_LAYER_ZSTD, blob.digest, blob.size), _reader(disk.path, blob.fd, blob.size))
    described = Disk(disk.format, disk.size, Digest("sha256", whole.hexdigest()))
    return Shape(described, _image_config(config, blob.content), (layer,))


def as_erofs(disk: Opened, tmpdir: Path | None, listen: Listener, stack: ExitStack) -> Shape:
    """Make an image of it whose one layer is the disk as it is, which containerd's erofs snapshotter mounts.

    Raises UsageError for a disk of another format, and for one without metadata.
    """
    if disk.format != "erofs":
        raise UsageError(f"{disk.path}: is no erofs, as --as erofs wants it; build one with -o NAME.erofs")
    config = _platform_of(disk, "erofs")
    listen(Stage("hashing the disk", disk.size))
    whole, meter, passed = hashlib.sha256(), Meter(listen), 0
    for chunk in disk.chunks():
        whole.update(chunk)
        passed += len(chunk)
        meter(passed)
    digest = Digest("sha256", whole.hexdigest())
    layer = Blob(Descriptor(manifest.EROFS_LAYER, digest, disk.size), _reader(disk.path, disk.fd, disk.size))
    return Shape(Disk(disk.format, disk.size, digest), _image_config(config, digest), (layer,))


FORMS: Mapping[str, Form] = {"artifact": as_artifact, "containerdisk": as_containerdisk, "erofs": as_erofs}


def _platform_of(disk: Opened, name: str) -> Platform:
    if disk.record is None or disk.record.image is None:
        reason = f"--as {name} has to say for which machines it is, and that is in metadata: name them, or build with"
        raise UsageError(f"{disk.path}: {reason} --metadata-file {disk.path}.json")
    return Platform.parse(disk.record.image.platform)


def _image_config(platform: Platform, diff_id: Digest) -> Blob:
    """Write the config of an image of one layer (config.md); it says no time."""
    fields: dict[str, object] = {"architecture": platform.architecture, "os": platform.os}
    if platform.variant:
        fields["variant"] = platform.variant
    fields |= {"config": {}, "rootfs": {"type": "layers", "diff_ids": [str(diff_id)]}}
    data = json.dumps(fields, separators=(",", ":")).encode()
    return held(Descriptor(OCI_CONFIG, Digest.of(data), len(data)), data)


def _compress(chunks: Iterator[bytes], size: int, tmpdir: Path | None, listen: Listener, stack: ExitStack) -> Packed:
    listen(Stage("compressing the disk", size))
    with failures_named(advice="choose another --tmpdir"):
        return stack.enter_context(packed(chunks, size, tmpdir, Meter(listen)))


def held(descriptor: Descriptor, data: bytes) -> Blob:
    """Make a blob of bytes."""
    return Blob(descriptor, lambda start: iter([data[start:]]))


def _reader(disk: Path, fd: int, size: int) -> Callable[[int], Iterator[bytes]]:
    """Make what reads a file from a position on."""

    def read(start: int) -> Iterator[bytes]:
        places = range(start, size, _STEP)
        return _readable(disk, (read_at(fd, min(_STEP, size - place), place) for place in places))

    return read


def _readable(disk: Path, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield what is read of a disk; its errors are no connection's, and not those of what is written."""
    try:
        yield from chunks
    except OSError as error:
        raise DiskUnreadable(disk, f"cannot be read: {error.strerror}") from error
