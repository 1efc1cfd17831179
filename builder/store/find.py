"""Find images by the names that people give them, and say what there is where there is no such."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from difflib import get_close_matches

from builder.errors import BuilderError, InvalidReference, StoreCorrupt
from builder.image.descriptor import Descriptor
from builder.image.document import MAX_DOCUMENT_SIZE
from builder.image.manifest import parse_document
from builder.image.name import ImageName
from builder.store.reach import Reach
from builder.store.reference_files import recorded
from builder.store.store import Store

_LISTED = 20


def meanings(name: ImageName) -> list[ImageName]:
    """Give the full names that a name may stand for: a short one, one in `localhost` or one on Docker Hub."""
    if name.domain is not None:
        return [recorded(name)]
    found = []
    for each in (replace(name, domain="localhost"), name.qualified()):
        with suppress(InvalidReference):  # too long, written in full: no image's name
            found.append(recorded(each))
    return found


def find(store: Store, name: ImageName) -> dict[ImageName, Descriptor]:
    """Find all that a name may mean, by full name: nothing, one image, or several. Raises StoreCorrupt."""
    return {full: found for full in meanings(name) if (found := _look_up(store, full)) is not None}


def offer(store: Store, name: ImageName) -> str:
    """Say for a message what could be asked for instead of `name`."""
    names = sorted(str(other) for other, _ in _references(store))
    if not names:
        return "it is empty; `rootfs-builder store pull IMAGE` puts one there"
    # What they have in common with all others says nothing.
    short = {full: re.sub(r"^(docker\.io/(library/)?|localhost/)", "", full) for full in names}
    close = get_close_matches(str(name), short.values())
    if close:
        return f"did you mean {' or '.join(full for full in names if short[full] in close)}?"
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"there are {', '.join(names[:_LISTED])}{more}"


def _look_up(store: Store, name: ImageName) -> Descriptor | None:
    exact = store.get_manifest(name)
    if exact is not None or name.digest is None:
        return exact
    # A manifest that one of the repository's images leads to is as good: its digest was asked for.
    tagged = [found for other, found in _references(store) if other.repository == name.repository]
    if name.digest not in Reach(store).of((each.digest, each.media_type) for each in tagged):
        return None
    file = store.open(name.digest)
    if file is None:
        return None
    with file:
        data = file.read(MAX_DOCUMENT_SIZE + 1)
    # A layer's digest names no image.
    with suppress(BuilderError):
        media_type = parse_document(data, None, str(name)).media_type
        return Descriptor(media_type, name.digest, len(data))
    return None


def _references(store: Store) -> Iterator[tuple[ImageName, Descriptor]]:
    for path in store.reference_files():
        # What is wrong with other images is for `store verify` to say.
        with suppress(StoreCorrupt):
            yield store.load_reference(path)
