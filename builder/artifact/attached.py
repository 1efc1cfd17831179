"""Documents attached to a disk in a registry, such as its provenance: manifests that refer to the manifest of the disk.

OCI image-spec, manifest.md, "subject". The media type of the document is the manifest's artifact type and that of its
one layer, so that `oras discover` and the like name it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from builder.artifact.manifest import EMPTY_CONFIG, render_manifest
from builder.errors import MalformedDocument, UsageError
from builder.image.descriptor import Descriptor, DescriptorFields, read_descriptor
from builder.image.digest import Digest
from builder.image.document import read_document
from builder.image.shape import Remarks, convert_document
from builder.output.beside import read_json
from builder.output.provenance import PREDICATE, STATEMENT

PREDICATE_TYPE = "in-toto.io/predicate-type"
_TITLE = "org.opencontainers.image.title"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of document: what the option is called, its media type, and how names of its files beside a disk end."""

    name: str
    media_type: str
    ending: str
    predicate_type: str | None = None

    def path(self, disk: Path) -> Path:
        """Tell where that of a disk is looked for."""
        return disk.with_name(disk.name + self.ending)


PROVENANCE = Kind("provenance", "application/vnd.in-toto+json", ".intoto.json", PREDICATE)
SBOM = Kind("sbom", "application/vnd.cyclonedx+json", ".cdx.json")
KINDS = (PROVENANCE, SBOM)


class _Subject(msgspec.Struct):
    digest: dict[str, str]


class _Statement(msgspec.Struct, rename="camel"):
    kind: str = msgspec.field(name="_type")
    predicate_type: str
    subject: list[_Subject]


class _Hash(msgspec.Struct):
    alg: str
    content: str


class _Component(msgspec.Struct):
    hashes: list[_Hash]


class _About(msgspec.Struct):
    component: _Component


class _Bill(msgspec.Struct, rename="camel"):
    bom_format: str
    metadata: _About


class _Fields(msgspec.Struct):
    layers: list[DescriptorFields]
    subject: DescriptorFields


def is_about(kind: Kind, content: bytes, digest: str, where: str) -> bool:
    """Say whether a document is about the disk whose sha256 in hex this is. Raises UsageError for what is none."""
    what, advice = f"no {kind.name} of a disk", f"write it with --{kind.name} where the disk is built"
    if kind is PROVENANCE:
        statement = read_json(content, _Statement, where, what, advice)
        if (statement.kind, statement.predicate_type) != (STATEMENT, PREDICATE):
            raise UsageError(f"{where}: is {what}; {advice}")
        return any(each.digest.get("sha256") == digest for each in statement.subject)
    bill = read_json(content, _Bill, where, what, advice)
    if bill.bom_format != "CycloneDX":
        raise UsageError(f"{where}: is {what}; {advice}")
    return any((each.alg, each.content) == ("SHA-256", digest) for each in bill.metadata.component.hashes)


def attached_layer(kind: Kind, content: bytes, format: str) -> Descriptor:
    """Describe the blob with a document about a disk of that format."""
    return Descriptor(
        kind.media_type,
        Digest.of(content),
        len(content),
        annotations={_TITLE: f"disk.{format}{kind.ending}", **_stated(kind)},
    )


def render_attached(kind: Kind, layer: Descriptor, subject: Descriptor) -> bytes:
    """Write the manifest that refers to that of a disk, `subject`; the same has the same bytes."""
    return render_manifest(EMPTY_CONFIG, [layer], _stated(kind), subject, kind.media_type)


def parse_attached(data: bytes, kind: Kind, disk: Digest, name: str) -> Descriptor:
    """Read the manifest `name`, which should refer to that of a disk, whose digest this is; describe the document.

    Raises MalformedDocument.
    """
    fields = convert_document(read_document(data, name), _Fields, name, Remarks())
    if read_descriptor(fields.subject, name, "$.subject").digest != disk:
        raise MalformedDocument(name, "$.subject", "is not the disk")
    for number, each in enumerate(fields.layers):
        if each.media_type == kind.media_type:
            return read_descriptor(each, name, f"$.layers[{number}]")
    raise MalformedDocument(name, "$.layers", f"has no {kind.media_type}")


def _stated(kind: Kind) -> dict[str, str]:
    return {PREDICATE_TYPE: kind.predicate_type} if kind.predicate_type else {}
