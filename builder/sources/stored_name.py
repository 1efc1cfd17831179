"""What an image is called in a store, where only its reference is known."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import replace

from builder.errors import InvalidReference
from builder.image.name import ImageName
from builder.sources.source import Named, Source
from builder.sources.transport import Reference

_SUFFIXES = re.compile(r"(\.(oci|docker|tar|tgz|txz|tbz2?|tzst|gz|xz|bz2|zst|zip))+$", re.IGNORECASE)


def stored_name(reference: Reference, source: Source) -> ImageName:
    """Give the full name that the image has where it is; else one in `localhost`, from its short name or its place.

    `oci:app:1.0` and `oci-archive:app.tar:1.0` become `localhost/app:1.0`. Raises InvalidReference where that is no
    name.
    """
    names = source.names() if isinstance(source, Named) else []
    for text in names:
        full = _parse(text)
        if full is not None and full.domain is not None:
            return full
    for text in names:
        short = _parse(text) if ":" in text or "/" in text else None
        if short is not None:
            return replace(short, domain="localhost")
    if reference.names_a_file:
        tags = (tagged.tag for text in names if (tagged := _parse(f"tag:{text}")) is not None)
        place = _parse(f"localhost/{_place_name(reference)}")
        if place is not None:
            return replace(place, tag=None if reference.digest else next(tags, None), digest=reference.digest)
    raise InvalidReference(reference.text, "its full name cannot be told; say with --name what to call it")


def _place_name(reference: Reference) -> str:
    """Make a repository's name of the last part of a path or URL."""
    path = re.sub(r"^[^!]*(://|!)", "", reference.place) if reference.is_url else os.path.realpath(reference.place)
    name = _SUFFIXES.sub("", os.path.basename(path.rstrip("/")))
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _parse(text: str) -> ImageName | None:
    with suppress(InvalidReference):
        return ImageName.parse(text)
    return None
