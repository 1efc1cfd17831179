"""The manifest of what is attested of an image (BuildKit, "Image attestation storage")."""

from __future__ import annotations

import msgspec

from builder.image.descriptor import Descriptor, DescriptorFields, read_descriptor
from builder.image.document import read_document
from builder.image.shape import Remarks, convert_part


class _Manifest(msgspec.Struct):
    config: DescriptorFields | None = None
    layers: list[DescriptorFields] | None = None


def parse_attestations(data: bytes, name: str) -> tuple[Descriptor | None, list[Descriptor]]:
    """Read the manifest `name`: its config, which says nothing, and the blobs of statements. Raises MalformedDocument.

    It need not have a config, nor statements, and they may be of any type.
    """
    fields = convert_part(read_document(data, name), _Manifest, name, "$", Remarks())
    config = read_descriptor(fields.config, name, "$.config") if fields.config else None
    layers = [read_descriptor(each, name, f"$.layers[{number}]") for number, each in enumerate(fields.layers or ())]
    return config, layers
