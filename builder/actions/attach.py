"""Attach provenance and bill of materials to a disk in a registry, where who has the disk finds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.actions.push_forms import Blob, held
from builder.artifact.attached import KINDS, PROVENANCE, SBOM, Kind, attached_layer, is_about, render_attached
from builder.artifact.manifest import EMPTY, EMPTY_CONFIG, Disk
from builder.denied import unless_denied
from builder.disk.reading import DiskUnreadable
from builder.errors import UsageError
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.media_types import OCI_MANIFEST
from builder.output.beside import read_beside
from builder.registry.referrers import refer
from builder.registry.repository import Repository
from builder.registry.upload import put_manifest


@dataclass(frozen=True, slots=True)
class Attached:
    """A document about a disk that is to be attached to it, from the file `path`."""

    kind: Kind
    path: Path
    content: bytes


def read_attached(disk: Path, provenance: Path | None, sbom: Path | None) -> list[Attached]:
    """Read what is to be attached to a disk from these files, or from those that stand beside it.

    Raises UsageError, and DiskUnreadable or MissingRequirement for a file that cannot be read.
    """
    named: Mapping[Kind, Path | None] = {PROVENANCE: provenance, SBOM: sbom}
    found = []
    for kind in KINDS:
        path = named[kind] or kind.path(disk)
        try:
            content = read_beside(path, named=named[kind] is not None)
        except OSError as error:
            reason = f"cannot be read: {unless_denied(error, path).strerror}; name another with --{kind.name}"
            raise DiskUnreadable(path, reason) from error
        if content is not None:
            found.append(Attached(kind, path, content))
    return found


def attached_blobs(documents: Sequence[Attached], disk: Disk) -> list[Blob]:
    """Make blobs of documents, and of what their manifests have for a config.

    Raises UsageError for a document about another disk.
    """
    for each in documents:
        if not is_about(each.kind, each.content, disk.digest.hex, str(each.path)):
            reason = f"is the {each.kind.name} of another disk; build it again, or name another with --{each.kind.name}"
            raise UsageError(f"{each.path}: {reason}")
    blobs = [held(attached_layer(each.kind, each.content, disk.format), each.content) for each in documents]
    return [*blobs, held(EMPTY_CONFIG, EMPTY)] if blobs else []


def attach(repository: Repository, documents: Sequence[Attached], disk: Disk, subject: Descriptor) -> None:
    """Have documents, whose blobs are there, refer to `subject`, the manifest of the disk.

    Raises SourceUnreadable, AccessDenied, UploadRefused.
    """
    unaccounted = []
    for each in documents:
        layer = attached_layer(each.kind, each.content, disk.format)
        data = render_attached(each.kind, layer, subject)
        answer = put_manifest(repository, Digest.of(data), data, OCI_MANIFEST)
        if "OCI-Subject" not in answer.headers:
            facts = {key: value for key, value in layer.annotations.items() if key.startswith("in-toto.io/")}
            kind = each.kind.media_type
            unaccounted.append(
                Descriptor(OCI_MANIFEST, Digest.of(data), len(data), annotations=facts, artifact_type=kind)
            )
    if unaccounted:
        refer(repository, subject.digest, *unaccounted)
