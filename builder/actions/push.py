"""Put a disk into a registry, from which it can be pulled and booted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from builder.actions.booting import format_of
from builder.actions.remote_disk import MAX_METADATA
from builder.artifact import form
from builder.artifact.form import Disk
from builder.artifact.pack import packed
from builder.errors import BuilderError, InvalidDigest, InvalidReference, UsageError
from builder.events import Listener, Meter, Stage, ignore
from builder.exact import read_at
from builder.files.descriptors import opened
from builder.files.holes import content
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.media_types import OCI_MANIFEST
from builder.image.name import ImageName
from builder.output.beside import Record, RecordedImage, metadata_path, read_record
from builder.output.failures import failures_named
from builder.registry.failures import NotThere
from builder.registry.referrers import refer
from builder.registry.repository import Repository
from builder.registry.upload import Upload, put_manifest
from builder.sources.access import Access
from builder.sources.docker import DOCKER
from builder.sources.docker.repositories import open_repositories
from builder.sources.reference import parse_reference
from builder.sources.transport import Reference

# In bytes: what is read of a blob at once; a connection waits for so much to be taken.
_STEP = 32 * 1024


class DiskUnreadable(BuilderError):
    """A disk cannot be read, or changes while it is."""

    def __init__(self, disk: Path, reason: str) -> None:
        super().__init__(f"{disk}: {reason}")
        self.disk = disk


class TagTaken(BuilderError):
    """Under the name of a disk to be there is something else in the registry, such as the disk's own image."""

    def __init__(self, name: ImageName) -> None:
        super().__init__(f"{name}: is no disk, and would be lost; choose another tag, or replace it with --force")
        self.name = name


@dataclass(frozen=True, slots=True)
class Pushed:
    """A disk in a registry: its full name there, its manifest's digest, and how many bytes of blobs had to be sent."""

    name: ImageName
    digest: Digest
    sent: int


@dataclass(frozen=True, slots=True)
class _Blob:
    """A blob to be sent: `read` yields it from a position on."""

    descriptor: Descriptor
    read: Callable[[int], Iterator[bytes]]


def push(
    disk: Path | str,
    reference: str,
    access: Access | None = None,
    *,
    metadata: Path | None = None,
    tmpdir: Path | None = None,
    force: bool = False,
    listen: Listener = ignore,
) -> Pushed:
    """Put `disk`, and its `metadata`, by default those beside it, under `reference`: docker://REGISTRY/REPO:TAG.

    The same disk and metadata give the same manifest. Blobs that are there are not sent again; one on its way that
    breaks off goes on where it did, or begins anew. The tag comes last. One that is no disk stays, unless `force`
    replaces it. The disk is compressed into a nameless file of `tmpdir`, by default the system's place for temporary
    files. Raises UsageError, DiskUnreadable, TagTaken, UploadRefused and other BuilderError.
    """
    path = Path(disk)
    access = access or Access()
    with ExitStack() as stack:
        record = _record(path, metadata)
        image = record[1].image if record else None
        name, repository, source = _target(reference, image, access, listen, stack)
        subject = _subject(path, image)
        fd = _open(path, stack)
        kind = format_of(path)
        _check_tag(name, repository, force)
        before = os.fstat(fd)
        listen(Stage("compressing the disk", before.st_size))
        with failures_named(advice="choose another --tmpdir"):
            blob = stack.enter_context(
                packed(_readable(path, content(fd, before.st_size)), before.st_size, tmpdir, Meter(listen))
            )
        _check_same(path, before, os.fstat(fd), blob.content, record and record[1])
        described = Disk(kind, before.st_size, blob.content)
        layer = form.disk_layer(described, blob.digest, blob.size)
        blobs = [
            _Blob(layer, lambda start: _pieces(path, blob.fd, blob.size, start)),
            _held(form.EMPTY_CONFIG, form.EMPTY),
        ]
        layers = [layer]
        if record is not None:
            layers.append(form.metadata_layer(described, record[0]))
            blobs.append(_held(layers[1], record[0]))
        said = form.describe(described, record and record[1])
        manifest = form.render_manifest(form.EMPTY_CONFIG, layers, said, subject, form.ARTIFACT_TYPE)
        sent = _send(repository, source, blobs, listen)
        answer = put_manifest(repository, name.tag or "", manifest, OCI_MANIFEST)
        # A registry that says so keeps account itself of what refers to an image.
        if subject is not None and "OCI-Subject" not in answer.headers:
            entry = Descriptor(OCI_MANIFEST, Digest.of(manifest), len(manifest), annotations=said)
            refer(repository, subject.digest, replace(entry, artifact_type=form.ARTIFACT_TYPE))
    return Pushed(name, Digest.of(manifest), sent)


def _target(
    reference: str, image: RecordedImage | None, access: Access, listen: Listener, stack: ExitStack
) -> tuple[ImageName, Repository, str | None]:
    """Say where a disk goes, by what name, and from which repository there its blobs might be taken.

    Raises InvalidReference.
    """
    parsed = parse_reference(reference)
    if parsed.transport is not DOCKER:
        raise InvalidReference(reference, "disks are pushed to registries: write docker://REGISTRY/REPO:TAG")
    source = _beside(parsed, image)
    beside = (source,) if source else ()
    name, repositories = open_repositories(parsed, access.registry, listen, push=True, beside=beside)
    for each in repositories:
        stack.enter_context(closing(each))
    if name.digest is not None or name.tag is None:
        raise InvalidReference(reference, "a disk is pushed under a tag: write docker://REGISTRY/REPO:TAG")
    return name, repositories[-1], source


def _beside(target: Reference, image: RecordedImage | None) -> str | None:
    """Name the repository that the image of a disk is in, if the disk goes to another one of the same registry.

    Disks are pushed there, too, and are handed on from there.
    """
    if image is None or not image.reference.startswith("docker://"):
        return None
    with suppress(InvalidReference):
        there = ImageName.parse(image.reference.removeprefix("docker://")).qualified()
        here = ImageName.parse(target.place.removeprefix("//")).qualified()
        return there.path if there.domain == here.domain and there.path != here.path else None
    return None


def _subject(disk: Path, image: RecordedImage | None) -> Descriptor | None:
    """Describe the manifest of the image that a disk was made of, where it is known. Raises UsageError."""
    if image is None or image.manifest.digest is None or image.manifest.size is None:
        return None
    try:
        return Descriptor(image.manifest.media_type, Digest.parse(image.manifest.digest), image.manifest.size)
    except InvalidDigest as error:
        raise UsageError(f"{disk}: its metadata name no image: {error}; build it again") from error


def _record(disk: Path, metadata: Path | None) -> tuple[bytes, Record] | None:
    try:
        found = read_record(disk, metadata)
        if found is not None and len(found[0]) > MAX_METADATA:
            raise UsageError(f"{metadata or metadata_path(disk)}: has more than {MAX_METADATA} bytes; leave it out")
        return found
    except OSError as error:
        raise DiskUnreadable(metadata or metadata_path(disk), f"cannot be read: {error.strerror}") from error


def _open(disk: Path, stack: ExitStack) -> int:
    try:
        # Without waiting for somebody to write to a fifo.
        return stack.enter_context(opened(disk, os.O_RDONLY | os.O_NONBLOCK))
    except OSError as error:
        raise DiskUnreadable(disk, f"cannot be read: {error.strerror}; check the path") from error


def _check_tag(name: ImageName, repository: Repository, force: bool) -> None:
    """See that nothing is lost that is no disk. Raises TagTaken."""
    if force:
        return
    try:
        found = repository.manifest(name.tag or "")
    except NotThere:
        return
    if not form.is_disk(found.data):
        raise TagTaken(name)


def _readable(disk: Path, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield what is read of a disk; its errors are no connection's, and not those of what is written."""
    try:
        yield from chunks
    except OSError as error:
        raise DiskUnreadable(disk, f"cannot be read: {error.strerror}") from error


def _check_same(
    disk: Path, before: os.stat_result, after: os.stat_result, digest: Digest, record: Record | None
) -> None:
    """See that what was read is one disk, and the one that the metadata describe."""
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise DiskUnreadable(disk, "changes while it is read; push it when nothing writes to it")
    if record is not None and digest.hex != record.disk.sha256:
        reason = "its metadata are of another disk, or it was written to since; build it again, or name its --metadata"
        raise UsageError(f"{disk}: {reason}")


def _pieces(disk: Path, fd: int, size: int, start: int) -> Iterator[bytes]:
    """Read a blob from `start` on."""
    places = range(start, size, _STEP)
    yield from _readable(disk, (read_at(fd, min(_STEP, size - place), place) for place in places))


def _held(descriptor: Descriptor, data: bytes) -> _Blob:
    return _Blob(descriptor, lambda start: iter([data[start:]]))


def _send(repository: Repository, source: str | None, blobs: list[_Blob], listen: Listener) -> int:
    """Send what is not there yet; return how many bytes that were."""
    listen(Stage(f"pushing to {repository.where}", sum(blob.descriptor.size for blob in blobs)))
    meter, done, sent = Meter(listen), 0, 0
    for blob in blobs:
        size = blob.descriptor.size
        upload = Upload(repository, blob.descriptor, blob.read, source, _from(meter, done))
        sent += size if upload.send() else 0
        done += size
        meter(done)
    return sent


def _from(meter: Meter, done: int) -> Callable[[int], None]:
    return lambda there: meter(done + there)
