"""Where images come from: one file per transport, and a line in the table of transports.py."""

from __future__ import annotations

from builder.sources.access import Access, Means
from builder.sources.recognise import open_recognised
from builder.sources.reference import parse_reference
from builder.sources.source import Source
from builder.sources.transports import TRANSPORTS


def open_source(reference: str, access: Access | None = None, means: Means | None = None) -> Source:
    """Open an image by its reference; the caller closes what it returns.

    Raises InvalidReference, ImageNotFound, MalformedArchive, UnsafeFile, SourceUnreadable, MissingRequirement.
    """
    parsed = parse_reference(reference)
    access, means = access or Access(), means or Means()
    if parsed.transport is None:
        layouts = [each.layout for each in TRANSPORTS.values() if each.layout]
        return open_recognised(parsed, means, layouts)
    return parsed.transport.open(parsed, access, means)
