"""File names for references: `manifests/docker.io+library+busybox/latest.json`.

A repository is one directory and a tag one file in it, so no reference's directory is where another's file should be.
Every name can be read back, and no two are alike even where file systems ignore case:

    /  is  +        :  is  =        an upper-case letter  is  ! and the lower-case one
    NAME@sha256:0123…  is  NAME/@sha256-0123….json
    what would be longer than file names may be  is  ~ and its sha256; the name itself is inside the file

None of these marks can be in a repository or a tag, nor can `.` or `..` be one.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

from builder.errors import InvalidReference
from builder.image.name import ImageName

MANIFESTS = "manifests"
_SUFFIX = ".json"
# Bytes. File names have 255 nearly everywhere, 143 where eCryptfs encrypts them.
_LONGEST = 136
_ENCODED = str.maketrans({"/": "+", ":": "=", **{chr(c): f"!{chr(c + 32)}" for c in range(ord("A"), ord("Z") + 1)}})


def recorded(name: ImageName) -> ImageName:
    """Give the name under which an image is kept, as Docker would read it.

    A digest comes before a tag, no tag is `latest`, and `docker.io/busybox` is in `docker.io/library`. Raises
    InvalidReference for a short name, which stands for several, and for one that is too long when written in full.
    """
    if name.domain is None:
        raise InvalidReference(str(name), f"is a short name; write {name.qualified()} or localhost/{name}")
    # Parsed again, as whoever reads the reference will: `library/` may have been too much.
    name = ImageName.parse(str(name.qualified()))
    if name.digest is not None:
        return replace(name, tag=None)
    return name if name.tag is not None else replace(name, tag="latest")


def directory_of(name: ImageName) -> str:
    """Say in which directory the references of a repository are."""
    return f"{MANIFESTS}/{_component(recorded(name).repository)}"


def path_of(name: ImageName) -> str:
    """Say where a reference is kept."""
    name = recorded(name)
    digest = name.digest
    file = _component(name.tag or "") if digest is None else f"@{digest.algorithm}-{digest.hex}"
    return f"{directory_of(name)}/{file}{_SUFFIX}"


def is_reference(file: str) -> bool:
    """Say whether a file in a repository's directory is a reference."""
    return file.endswith(_SUFFIX)


def _component(text: str) -> str:
    encoded = text.translate(_ENCODED)
    return encoded if len(encoded) <= _LONGEST else "~" + hashlib.sha256(text.encode()).hexdigest()
