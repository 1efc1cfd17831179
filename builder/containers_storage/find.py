"""Which image a name means: as podman looks names up (containers/common, libimage), and as skopeo writes them.

    ID    sha256:ID    @ID    NAME@ID    NAME    NAME:TAG    NAME@DIGEST    NAME:TAG@DIGEST (the tag says nothing then)

An ID may be cut short as long as it is the only one that begins so. Where podman would take the first of several
images that a short name could mean, all are given back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

import msgspec

from builder.containers_storage.records import ImageRecord
from builder.errors import InvalidDigest, InvalidReference
from builder.image.digest import Digest
from builder.image.name import ImageName

_ID = re.compile(r"[0-9a-f]{3,64}")
_LATEST = "latest"

Images = Sequence[ImageRecord]


def find_images(images: Images, text: str) -> Images:
    """Find the images that `text` may mean, none or more; raises InvalidReference for what is neither name nor ID."""
    before, at, after = text.rpartition("@")
    if at and _ID.fullmatch(after):
        found = _by_id(images, after)
        return [image for image in found if _has_repository(image, before)] if before else found
    if text.startswith("sha256:"):
        return _by_id(images, text[7:]) or [image for image in images if text in image.digests]
    if _ID.fullmatch(text) and (exact := [image for image in images if image.id == text]):
        return exact
    try:
        name = ImageName.parse(text)
    except InvalidReference:
        if _ID.fullmatch(text):
            return []
        raise
    by_name = _by_digest if name.digest else _by_tag
    return by_name(images, name) or (_by_id(images, text) if _ID.fullmatch(text) else []) or _by_end(images, name)


def found_names(image: ImageRecord, text: str) -> Sequence[str]:
    """Give the names by which `text` finds an image, those that it stands for as they are before those that end so."""
    alone = {name: msgspec.structs.replace(image, names=[name]) for name in image.names or ()}
    found = [name for name, record in alone.items() if find_images([record], text)]
    with suppress(InvalidReference):
        asked = ImageName.parse(text)
        found.sort(key=lambda name: not _by_tag([alone[name]], asked))
    return found


def asked_digest(text: str) -> Digest | None:
    """Give the digest of a manifest or an index that `text` asks for, if it does."""
    try:
        return Digest.parse(text.rpartition("@")[2])
    except InvalidDigest:
        return None


def is_fixed(text: str, image: ImageRecord) -> bool:
    """Say whether `text`, by which an image was found, will always mean this one: it holds an ID or a digest."""
    return "@" in text or image.id.startswith(text.removeprefix("sha256:"))


def _by_id(images: Images, start: str) -> Images:
    return [image for image in images if image.id.startswith(start)] if _ID.fullmatch(start) else []


def _by_tag(images: Images, name: ImageName) -> Images:
    tag = name.tag or _LATEST
    wanted = {str(replace(each, tag=tag)) for each in _written_out(name)}
    return [image for image in images if wanted.intersection(image.names or ())]


def _by_digest(images: Images, name: ImageName) -> Images:
    repositories = {each.repository for each in _written_out(name)}
    found = [image for image in images if str(name.digest) in image.digests]
    return [image for image in found if _any(image, lambda known: known.repository in repositories)]


def _by_end(images: Images, name: ImageName) -> Images:
    """Find what a short name is the end of: whose registry podman found in its registries.conf."""
    if name.domain is not None:
        return []

    def fits(known: ImageName) -> bool:
        ends = known.repository == name.path or known.repository.endswith(f"/{name.path}")
        return ends and (name.digest is not None or known.tag == (name.tag or _LATEST))

    found = [image for image in images if name.digest is None or str(name.digest) in image.digests]
    return [image for image in found if _any(image, fits)]


def _written_out(name: ImageName) -> tuple[ImageName, ...]:
    """Write a name in full, in the ways that podman tries."""
    local = (replace(name, domain="localhost"),) if name.domain is None else ()
    return (*local, name.qualified())


def _has_repository(image: ImageRecord, text: str) -> bool:
    repositories = {each.repository for each in _written_out(ImageName.parse(text))}
    return _any(image, lambda known: known.repository in repositories)


def _any(image: ImageRecord, fits: Callable[[ImageName], bool]) -> bool:
    return any(fits(name) for name in _parsed(image.names or ()))


def _parsed(names: Iterable[str]) -> Iterable[ImageName]:
    for text in names:
        try:
            yield ImageName.parse(text)
        except InvalidReference:
            continue  # A name that nobody can ask for by its parts.
