"""Image references as users type them, in the syntax of containers-transports(5) (skopeo, podman, buildah).

    TRANSPORT:PLACE[:TAG]    TRANSPORT:PLACE@DIGEST    TRANSPORT:PLACE:@INDEX    PLACE[...]    TRANSPORT:NAME

NAME is for the transport to take apart: registries and stores hold images under names. PLACE is a path or a
PyFilesystem URL. A tag may hold `:` and `/` (`oci:dir:example.com/app:1.0`), so it begins at the first separator after
the place, as in skopeo; but a path may hold a colon too, and one that exists wins: the place is the longest existing
path that ends before a separator or at the end.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from builder.errors import BuilderError, InvalidReference
from builder.image.digest import Digest
from builder.sources.transport import Reference, Transport
from builder.sources.transports import TRANSPORTS
from builder.words import quoted

# Known to skopeo; said apart, so that nobody takes one for a path, and with what to do instead.
_COPY = "copy the image with skopeo copy, and write oci:DIR"
_NOT_HERE = {
    "docker-daemon": "save the image with docker save, and write docker-archive:FILE",
    "ostree": _COPY,
    "sif": _COPY,
}

_SEPARATOR = re.compile(r":|@(?=sha(?:256|512):)")
_TRANSPORT = re.compile(r"[A-Za-z][A-Za-z0-9_.+-]*(?=:)")
# In a URL the place ends at the first separator that is neither part of user:password@ nor of a port.
_URL = re.compile(
    r"""[A-Za-z][A-Za-z0-9+.-]*://
        (?:[^/@]*@(?!sha(?:256|512):))?
        (?:[^/:@!]*:\d+(?=/))?
        (?:[^:@]|@(?!sha(?:256|512):))*""",
    re.VERBOSE,
)
_INDEX = re.compile(r"@(\d{1,9})", re.ASCII)


def parse_reference(text: str) -> Reference:
    """Take a reference apart; looks only at which paths exist. Raises InvalidReference."""
    if "\0" in text:
        raise InvalidReference(text, "holds a NUL character")
    transport, rest = _split_transport(text)
    if not rest:
        raise InvalidReference(text, f"names no image; {_available()}")
    if transport is not None and transport.named:
        return Reference(text, transport, rest)
    place, choice = _split_place(rest)
    if not place:
        raise InvalidReference(text, "has no path before the tag")
    named = transport is None and choice and _TRANSPORT.match(text) and not _URL.match(text)
    if named and not _exists(place):
        raise InvalidReference(text, f"there is no path {quoted(place)} and no transport of that name; {_available()}")
    return _choose(Reference(text, transport, place), choice)


def _split_transport(text: str) -> tuple[Transport | None, str]:
    match = _TRANSPORT.match(text)
    if match is None:
        return None, text
    rest = text[match.end() + 1 :]
    if match[0] in TRANSPORTS:
        return TRANSPORTS[match[0]], rest
    if match[0] in _NOT_HERE and (rest.startswith("//") or not _exists(_split_place(text)[0])):
        raise InvalidReference(text, f"{match[0]}: is not available in this version; {_NOT_HERE[match[0]]}")
    return None, text


def _split_place(text: str) -> tuple[str, str]:
    """Split into the place and what chooses an image there: nothing, or a text beginning with its separator."""
    url = _URL.match(text)
    if url is not None:
        return url[0], text[url.end() :]
    ends = list(_place_ends(text))
    end = next((end for end in reversed(ends) if _exists(text[:end])), ends[0])
    return text[:end], text[end:]


def _place_ends(text: str) -> Iterator[int]:
    for match in _SEPARATOR.finditer(text):
        yield match.start()
    yield len(text)


def _choose(reference: Reference, choice: str) -> Reference:
    text, transport, place = reference.text, reference.transport, reference.place
    if not choice:
        return reference
    if choice.startswith("@"):
        try:
            return Reference(text, transport, place, digest=Digest.parse(choice[1:]))
        except BuilderError as error:
            raise InvalidReference(text, f"{quoted(choice[1:])} is not a digest: {error}") from error
    tag = choice[1:]
    if not tag:
        raise InvalidReference(text, "ends with an empty tag; leave the colon out to take the only image")
    if tag.startswith("@"):
        index = _INDEX.fullmatch(tag)
        if index is None:
            raise InvalidReference(text, f"{quoted(tag)} is not @ and the position of an image, counted from 0")
        return Reference(text, transport, place, position=int(index[1]))
    return Reference(text, transport, place, tag=tag)


def _exists(path: str) -> bool:
    return bool(path) and os.path.lexists(path)


def _available() -> str:
    return f"available are {', '.join(each.forms[0] for each in TRANSPORTS.values())} or a plain path"
