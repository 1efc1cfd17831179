"""Descriptors: typed, sized, hashed references to content (OCI image-spec, descriptor.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import msgspec

from builder.errors import InvalidDigest, MalformedDocument
from builder.image.digest import Digest
from builder.image.platform import Platform
from builder.image.shape import LENIENT

Size = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A reference to content: its media type, digest and size in bytes, none of them verified yet.

    `urls` are other places that hold the content; `platform`, `artifact_type` and `os_features`, what the content needs
    of an operating system beyond what all have, come with entries of an index. Content embedded in `data` is not
    used: content always comes from the source, where it is verified.
    """

    media_type: str
    digest: Digest
    size: int
    urls: tuple[str, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    platform: Platform | None = None
    artifact_type: str | None = None
    os_features: tuple[str, ...] = ()


class PlatformFields(msgspec.Struct):
    """A platform as JSON has it; `os.version` is for Windows and ignored."""

    os: str | None = None
    architecture: str | None = None
    variant: str | None = None
    os_features: Annotated[list[str] | None, LENIENT] = msgspec.field(default=None, name="os.features")


class DescriptorFields(msgspec.Struct, rename="camel", kw_only=True):
    """A descriptor as JSON has it; Go writes null for what is empty."""

    media_type: str
    digest: str
    size: Size
    urls: Annotated[list[str] | None, LENIENT] = None
    annotations: Annotated[dict[str, str] | None, LENIENT] = None


class EntryFields(DescriptorFields, rename="camel", kw_only=True):
    """A descriptor of an index, which says for whom it is."""

    platform: PlatformFields | None = None
    artifact_type: str | None = None


def read_descriptor(fields: DescriptorFields, name: str, path: str) -> Descriptor:
    """Turn the JSON form at `path` of the document `name` into a Descriptor; raises MalformedDocument."""
    platform = fields.platform if isinstance(fields, EntryFields) else None
    return Descriptor(
        media_type=fields.media_type,
        digest=read_digest(fields.digest, name, f"{path}.digest"),
        size=fields.size,
        urls=tuple(fields.urls or ()),
        annotations=fields.annotations or {},
        platform=read_platform(platform) if platform else None,
        artifact_type=(fields.artifact_type or None) if isinstance(fields, EntryFields) else None,
        os_features=tuple((platform and platform.os_features) or ()),
    )


def read_platform(fields: PlatformFields) -> Platform:
    """Turn the JSON form into a Platform, of which parts may be empty: no such one is chosen for anybody."""
    return Platform(fields.os or "", fields.architecture or "", fields.variant or None)


def read_digest(text: str, name: str, path: str) -> Digest:
    """Parse the digest at `path` of the document `name`; raises MalformedDocument."""
    try:
        return Digest.parse(text)
    except InvalidDigest as error:
        raise MalformedDocument(name, path, error.reason) from error
