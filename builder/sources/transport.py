"""What a transport is: one record in its own file, from which every other place derives what it says and does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from builder.files.files import Files
from builder.files.urls import is_url
from builder.image.digest import Digest
from builder.sources.access import Access, Means
from builder.sources.source import Source


@dataclass(frozen=True, slots=True)
class Reference:
    """An image reference, taken apart.

    `text` is as it was typed; `transport` is None where the place is to be recognised; `place` is a path or URL, or all
    that follows the transport where images have names; at most one of the others is given: `tag` (for docker-archive a
    NAME[:TAG]), `digest` of a manifest or index, `position` of the image in the place's list, from 0.
    """

    text: str
    transport: Transport | None
    place: str
    tag: str | None = None
    digest: Digest | None = None
    position: int | None = None

    @property
    def names_a_file(self) -> bool:
        """Say whether the place is a path or URL rather than the name of an image."""
        return self.transport is None or not self.transport.named

    @property
    def is_url(self) -> bool:
        """Say whether the place is a PyFilesystem URL rather than a path."""
        return is_url(self.place)


@dataclass(frozen=True, slots=True)
class Layout:
    """Files that a transport knows when it sees them, so that a plain path will do.

    `sign` says in messages what they are known by. `matches` looks at files, `open` takes them over.
    """

    sign: str
    matches: Callable[[Files], bool]
    open: Callable[[Files, Reference, Means], Source]


@dataclass(frozen=True, slots=True)
class Transport:
    """One way in which images travel; `open` imports what only this one needs when it is called.

    `name` stands before the first colon of a reference; `forms` are how references are written, the shortest first,
    and `summary` is what they mean, for help; `layout` is how its files are recognised, if they can be. `named` says
    that what follows the colon is a name and no path; `remote` that the image comes over a network; `fills_store` that
    the source puts what it sends into the store itself.
    """

    name: str
    forms: tuple[str, ...]
    summary: str
    open: Callable[[Reference, Access, Means], Source]
    layout: Layout | None = None
    named: bool = False
    remote: bool = False
    fills_store: bool = False
