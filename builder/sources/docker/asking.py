"""Asking mirrors first, and the registry last; and an error for what is not there that names what is."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import islice
from typing import TypeVar

from builder.errors import ImageNotFound, ImageRefused, SourceUnreadable
from builder.events import Listener, Notice
from builder.image.name import ImageName
from builder.registry.failures import AccessDenied
from builder.registry.origin import Origin
from builder.words import listed, quoted

T = TypeVar("T")

# Tags to ask for, and of those to name, where the one that is wanted is not there.
_ASKED, _NAMED = 100, 20
# Such as `sha256-….sig`: what belongs to a manifest of that digest, of which there may be several for each image.
_BESIDE = re.compile(r"sha(?:256|512)-[0-9a-f]{64}.*")


def first_answer(origins: Sequence[Origin], ask: Callable[[Origin], T], listen: Listener) -> T:
    """Ask one after the other, all mirrors but the last, until one answers; what the last one raises is raised."""
    for origin in origins[:-1]:
        try:
            return ask(origin)
        except (SourceUnreadable, ImageNotFound, AccessDenied, ImageRefused) as error:
            listen(Notice(f"mirror {origin.where}: {error}; asking the next"))
    return ask(origins[-1])


def not_found(reference: str, name: ImageName, origin: Origin) -> ImageNotFound:
    """Make the error for a `reference` whose full name means nothing there; the repository is asked for some tags."""
    what = f"manifest {name.digest}" if name.digest else f"tag {quoted(name.tag or '')}"
    tags = listed(islice((tag for tag in origin.tags(_ASKED) if not _BESIDE.fullmatch(tag)), _NAMED))
    there = f"choose one of these: {tags}" if tags else "check the name, or log in if the repository is private"
    return ImageNotFound(reference, f"{origin.where} has no {what}; {there}")
