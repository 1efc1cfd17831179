"""manifest.json as `docker save` writes it: a list of images, each with its config's file and its layers' files."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from builder.errors import MalformedDocument
from builder.image.document import read_document
from builder.image.shape import LENIENT, Remarks, convert_document, convert_part
from builder.words import quoted

# In characters; docker save's own names have 75 at most.
_MAX_NAME = 255
# Images of one archive: each that cannot be read is kept with what is wrong with it, as for an index (manifest.py).
_MOST_IMAGES = 1 << 15


class Saved(msgspec.Struct, rename="pascal"):
    """One image: where in the archive its parts are, bottom layer first, and what it is called."""

    config: str
    layers: list[str] | None = None
    repo_tags: Annotated[list[str] | None, LENIENT] = None


@dataclass(frozen=True, slots=True)
class SavedImages:
    """The images of an archive by position, from 0; those that cannot be read are `unreadable`, and spoil no other."""

    images: Mapping[int, Saved]
    unreadable: Mapping[int, MalformedDocument]


class _Document(msgspec.Struct):
    images: list[Any] | None


def parse_saved_images(data: bytes, name: str) -> SavedImages:
    """Parse manifest.json; `name` says in errors which. Raises MalformedDocument for what is no list."""
    images: dict[int, Saved] = {}
    unreadable: dict[int, MalformedDocument] = {}
    remarks = Remarks()
    for position, item in enumerate(_read_list(data, name)):
        try:
            images[position] = _parse_one(item, name, f"$[{position}]", remarks)
        except MalformedDocument as error:
            unreadable[position] = error
    return SavedImages(images, unreadable)


def _read_list(data: bytes, name: str) -> list[Any]:
    # The JSON reader takes objects only, as all other documents are.
    try:
        document = read_document(b'{"images":%b}' % data, name)
        if set(document) != {"images"}:
            raise MalformedDocument(name, "$.images", "is not valid JSON")
        images = convert_document(document, _Document, name).images or []
        if len(images) > _MOST_IMAGES:
            raise MalformedDocument(name, "$", f"has more than {_MOST_IMAGES} images, which are refused")
        return images
    except MalformedDocument as error:
        raise MalformedDocument(name, error.path.replace("$.images", "$", 1), error.reason) from error


def _parse_one(item: Any, name: str, path: str, remarks: Remarks) -> Saved:
    saved = convert_part(item, Saved, name, path, remarks)
    for text in (saved.config, *(saved.layers or ())):
        # They will be part of messages.
        if not text.isprintable() or len(text) > _MAX_NAME:
            reason = f"{quoted(text, 200)} is no name of a file that docker save writes"
            raise MalformedDocument(name, path, reason)
        if posixpath.normpath(text).startswith("../"):
            raise MalformedDocument(name, path, f"{quoted(text, 200)} leads out of the archive; export the image again")
    return saved
