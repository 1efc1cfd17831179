"""`oci-archive:FILE`: an OCI image layout in a tar, plain or compressed."""

from __future__ import annotations

from pathlib import Path

from builder.sources.oci import OciLayout
from builder.sources.places import open_archive
from builder.sources.reference import Reference
from builder.sources.source import Source


def open_oci_archive(reference: Reference, scratch: Path | None) -> Source:
    """Open the layout in an archive; a compressed one is unpacked once, into a nameless file in `scratch`."""
    return OciLayout(open_archive(reference, scratch), reference)
