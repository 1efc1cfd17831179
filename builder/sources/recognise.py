"""A plain path: tell what it is by what is there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress

from builder.errors import ImageNotFound, InvalidReference
from builder.image.name import ImageName
from builder.sources.access import Means
from builder.sources.image_files import open_anything
from builder.sources.source import Source
from builder.sources.transport import Layout, Reference


def open_recognised(reference: Reference, means: Means, layouts: Sequence[Layout]) -> Source:
    """Open a directory or archive as the first of `layouts` that it matches.

    Raises ImageNotFound where it is none.
    """
    if not reference.is_url and _is_missing(reference.place):
        raise ImageNotFound(reference.place, _nothing_there(reference.text))
    files = open_anything(reference, means)
    try:
        for layout in layouts:
            if layout.matches(files):
                return layout.open(files, reference, means)
        signs = " or ".join(layout.sign for layout in layouts)
        # Such as docker export writes.
        advice = "make one of a tree of files with podman import or docker import"
        raise ImageNotFound(files.place, f"is no image: at its top there is no {signs}; {advice}")
    except BaseException:
        files.close()
        raise


def _is_missing(place: str) -> bool:
    try:
        os.lstat(place)
    except (OSError, ValueError) as error:
        # Of a directory on the way that may not be looked into, whoever opens it tells.
        return not isinstance(error, PermissionError)
    return False


def _nothing_there(text: str) -> str:
    """Say what to do where a plain path leads to nothing: it may have been meant for a name."""
    advice = "check the path"
    with suppress(InvalidReference):
        advice += f", or write docker://{ImageName.parse(text)} for an image in a registry"
    return f"there is no such file; {advice}"
