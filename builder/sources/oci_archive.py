"""`oci-archive:FILE`: an OCI image layout in a tar, plain or compressed."""

from __future__ import annotations

from builder.sources.access import Access, Means
from builder.sources.image_files import open_archive
from builder.sources.oci import OciLayout
from builder.sources.source import Source
from builder.sources.transport import Reference, Transport


def open_oci_archive(reference: Reference, _access: Access, means: Means) -> Source:
    """Open the layout in an archive; a compressed one is unpacked once, into a nameless scratch file."""
    return OciLayout(open_archive(reference, means), reference, means)


OCI_ARCHIVE = Transport("oci-archive", ("oci-archive:FILE[:TAG]",), "the same in a tar", open_oci_archive)
