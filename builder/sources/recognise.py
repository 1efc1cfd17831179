"""A plain path: tell what it is by what is there."""

from __future__ import annotations

import os
from contextlib import suppress

from builder.errors import ImageNotFound, InvalidReference
from builder.files.files import Files
from builder.image.name import ImageName
from builder.sources.access import Access
from builder.sources.docker_archive import DockerArchive
from builder.sources.oci import OciLayout
from builder.sources.places import open_anything
from builder.sources.reference import Reference
from builder.sources.source import Source


def open_recognised(reference: Reference, access: Access) -> Source:
    """Open a directory or archive as an OCI image layout or as what `docker save` writes.

    Raises ImageNotFound where it is neither.
    """
    if not reference.is_url and not os.path.lexists(reference.place):
        raise ImageNotFound(reference.place, _nothing_there(reference.text))
    files = open_anything(reference, access)
    try:
        return _recognise(files, reference)
    except BaseException:
        files.close()
        raise


def _nothing_there(text: str) -> str:
    """Say what to do where a plain path leads to nothing: it may have been meant for a name."""
    advice = "check the path"
    with suppress(InvalidReference):
        advice += f", or write docker://{ImageName.parse(text)} for an image in a registry"
    return f"there is no such file; {advice}"


def _recognise(files: Files, reference: Reference) -> Source:
    # What is both, as newer Docker writes, is taken as a layout: that keeps the image's own manifest and digests.
    if files.size("oci-layout") is not None and files.size("index.json") is not None:
        return OciLayout(files, reference)
    if files.size("manifest.json") is not None or files.size("repositories") is not None:
        return DockerArchive(files, reference)
    reason = (
        "is no image: there is neither oci-layout with index.json (an OCI image layout) nor manifest.json "
        "(what docker save writes) at its top"
    )
    raise ImageNotFound(files.place, reason)
