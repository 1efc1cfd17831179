"""Where images come from: one file per transport, and a line in the table of transports.py."""

from __future__ import annotations

from builder.sources.access import Access, Means
from builder.sources.recognise import open_recognised
from builder.sources.reference import parse_reference
from builder.sources.source import Source
from builder.sources.transport import Reference
from builder.sources.transports import TRANSPORTS
from builder.words import without_password


def open_source(reference: str, access: Access | None = None, means: Means | None = None) -> Source:
    """Open an image by its reference; the caller closes what it returns.

    With a key, what the reference names is asked for and its signature looked at. Raises Unsigned where it has none,
    InvalidReference, ImageNotFound, MalformedArchive, UnsafeFile, SourceUnreadable, MissingRequirement, UsageError.
    """
    parsed = parse_reference(reference)
    access, means = access or Access(), means or Means()
    source = _open(parsed, access, means)
    if access.verify_key is not None:
        # Here, because it imports what few need.
        from builder.sources.signatures import check_signature

        try:
            check_signature(source, without_password(reference), access.verify_key)
        except BaseException:
            source.close()
            raise
    return source


def _open(parsed: Reference, access: Access, means: Means) -> Source:
    if parsed.transport is None:
        layouts = [each.layout for each in TRANSPORTS.values() if each.layout]
        return open_recognised(parsed, means, layouts)
    return parsed.transport.open(parsed, access, means)
