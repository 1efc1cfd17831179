"""Put a disk into a registry, from which it can be pulled and booted."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from builder.actions.attach import attach, attached_blobs, read_attached
from builder.actions.booting import format_in
from builder.actions.confinement import Places, confine_sending
from builder.actions.opening import own_scratch
from builder.actions.push_forms import FORMS, Blob, Opened
from builder.actions.push_target import open_target
from builder.artifact.manifest import describe, is_disk, render_manifest
from builder.denied import unless_denied
from builder.disk.reading import DiskUnreadable
from builder.errors import BuilderError, InvalidDigest, UnsupportedImage, UsageError
from builder.events import Listener, Meter, Stage, ignore
from builder.files.descriptors import opened
from builder.form import as_path
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.media_types import OCI_CONFIG, OCI_MANIFEST
from builder.image.name import ImageName
from builder.output.beside import metadata_path, read_beside, read_json, unmarked
from builder.output.schema import HandedImage, Record
from builder.registry.credentials import starts_and_writes_nothing
from builder.registry.failures import NotThere
from builder.registry.referrers import refer
from builder.registry.repository import Repository
from builder.registry.upload import Upload, put_manifest
from builder.sandbox.policy import AUTO, policy
from builder.shortage import unless_short
from builder.sources.access import Access
from builder.sources.docker.registries_conf import read_registries_conf
from builder.words import quoted


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


def push(
    disk: Path | str,
    reference: str,
    access: Access | None = None,
    *,
    form: str = "artifact",
    metadata: Path | str | None = None,
    provenance: Path | str | None = None,
    sbom: Path | str | None = None,
    tmpdir: Path | str | None = None,
    force: bool = False,
    sandbox: str = AUTO,
    listen: Listener = ignore,
) -> Pushed:
    """Put `disk`, and its `metadata`, by default those beside it, under `reference`: docker://REGISTRY/REPO:TAG.

    `form` is a key of FORMS: an `artifact`, as `pull_disk` takes it, or an image, for KubeVirt (`containerdisk`) or for
    what mounts layers of `erofs`; that has no metadata, but says of the disk what an artifact says. The same disk and
    metadata give the same manifest. `provenance` and `sbom`, by default DISK.intoto.json and DISK.cdx.json where those
    are, are attached to the disk, each by a manifest of its own. Blobs that are there are not sent again; an upload
    that breaks off goes on where it did, or begins anew. The tag comes last. One that is no disk stays, unless `force`
    replaces it. The disk is compressed into a nameless file of `tmpdir`, by default the system's place for temporary
    files. Raises UsageError, DiskUnreadable, TagTaken, UploadRefused and other BuilderError.
    """
    if form not in FORMS:
        raise UsageError(f"{quoted(form, 100)} is no form for a disk; choose one of {', '.join(FORMS)}")
    path = Path(disk)
    access = access or Access()
    with policy(sandbox), ExitStack() as stack:
        content, record = _record(path, as_path(metadata))
        image = record.image if record else None
        name, repository, source = open_target(reference, image, access, listen, stack)
        subject = _subject(path, image)
        documents = read_attached(path, as_path(provenance), as_path(sbom))
        fd, format = _open(path, stack)
        room = _confine(as_path(tmpdir), access, listen, stack)
        _check_tag(name, repository, force)
        before = os.fstat(fd)
        # Of a block device, too.
        size = os.lseek(fd, 0, os.SEEK_END)
        shape = FORMS[form](Opened(path, fd, format, size, content, record), room, listen, stack)
        _check_same(path, before, os.fstat(fd), shape.disk.digest, record)
        facts = describe(shape.disk, record)
        layers = [layer.descriptor for layer in shape.layers]
        manifest = render_manifest(shape.config.descriptor, layers, facts, subject, shape.artifact_type)
        blobs = [*shape.layers, shape.config, *attached_blobs(documents, shape.disk)]
        sent = _send(repository, source, list({blob.descriptor.digest: blob for blob in blobs}.values()), listen)
        entry = Descriptor(OCI_MANIFEST, Digest.of(manifest), len(manifest))
        if documents:
            # Before the tag: who finds the disk by that finds what is attached to it.
            put_manifest(repository, entry.digest, manifest, OCI_MANIFEST)
            attach(repository, documents, shape.disk, entry)
        # A tag that cannot be replaced is not put again, either, though it would stay what it is.
        is_there = repository.tag_hint(name.tag or "") == (entry.digest, entry.size)
        answer = put_manifest(repository, entry.digest if is_there else name.tag or "", manifest, OCI_MANIFEST)
        # A registry that says so keeps account itself of what refers to an image.
        if subject is not None and "OCI-Subject" not in answer.headers:
            artifact_type = shape.artifact_type or OCI_CONFIG
            refer(repository, subject.digest, replace(entry, annotations=facts, artifact_type=artifact_type))
    return Pushed(name, entry.digest, sent)


def _confine(tmpdir: Path | None, access: Access, listen: Listener, stack: ExitStack) -> Path | None:
    """Give up all but the network, files to read, and a directory for what is compressed, which is the answer."""
    tmpdir, room = own_scratch(tmpdir, "push", listen, stack)

    def find() -> Places | str:
        if starts_and_writes_nothing(access.registry.authfile, read_registries_conf().credential_helpers or ()):
            return room
        return "credentials come from programs that need nobody knows what, or TLS is logged: log in with a file"

    confine_sending(find)
    return tmpdir


def _subject(disk: Path, image: HandedImage | None) -> Descriptor | None:
    """Describe the manifest of the image that a disk was made of, where it is known. Raises UsageError."""
    if image is None or image.manifest.digest is None or image.manifest.size is None:
        return None
    try:
        return Descriptor(image.manifest.media_type, Digest.parse(image.manifest.digest), image.manifest.size)
    except InvalidDigest as error:
        raise UsageError(f"{disk}: its metadata name no image: {error}; build it again") from error


def _record(disk: Path, metadata: Path | None) -> tuple[bytes, Record] | tuple[None, None]:
    """Read the metadata of a disk, as they are sent and as they are meant. Raises DiskUnreadable, UsageError."""
    path = metadata or metadata_path(disk)
    try:
        content = read_beside(path, named=metadata is not None)
        return (None, None) if content is None else (unmarked(content), read_json(content, Record, path))
    except OSError as error:
        reason = unless_denied(error, path).strerror
        raise DiskUnreadable(path, f"cannot be read: {reason}; name others with --metadata") from error


def _open(disk: Path, stack: ExitStack) -> tuple[int, str]:
    """Open a disk, and tell the format of what was opened. Raises DiskUnreadable, MissingRequirement, UsageError."""
    try:
        # Without waiting for somebody to write to a fifo.
        fd = stack.enter_context(opened(disk, os.O_RDONLY | os.O_NONBLOCK))
        return fd, format_in(fd, disk)
    except OSError as error:
        reason = unless_denied(error, disk).strerror
        raise DiskUnreadable(disk, f"cannot be read: {reason}; check the path") from unless_short(error)


def _check_tag(name: ImageName, repository: Repository, force: bool) -> None:
    """See that nothing is lost that is no disk. Raises TagTaken."""
    if force:
        return
    try:
        found = repository.manifest(name.tag or "")
    except NotThere:
        return
    except UnsupportedImage as error:
        raise TagTaken(name) from error
    if not is_disk(found.data):
        raise TagTaken(name)


def _check_same(
    disk: Path, before: os.stat_result, after: os.stat_result, digest: Digest, record: Record | None
) -> None:
    """See that what was read is one disk, and the one that the metadata describe."""
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise DiskUnreadable(disk, "changes while it is read; push it when nothing writes to it")
    if record is not None and digest.hex != record.disk.sha256:
        reason = "its metadata are of another disk, or it was written to since; build it again, or name its --metadata"
        raise UsageError(f"{disk}: {reason}")


def _send(repository: Repository, source: str | None, blobs: list[Blob], listen: Listener) -> int:
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
