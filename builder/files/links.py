"""Symlinks, resolved here and not by the kernel: one walk, over whatever place the names are in."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from typing import AnyStr, Protocol

from builder.errors import UnsafeFile

# As many symlinks as the kernel follows in one path (path_resolution(7)).
MAX_SYMLINKS = 40


class Place(Protocol[AnyStr]):
    """Where a walk stands: a directory, of which only the place itself knows what it is."""

    def link(self, name: AnyStr) -> AnyStr | None:
        """Give the target of the symlink `name` here; None for anything else."""
        ...

    def enter(self, name: AnyStr) -> None:
        """Go down."""
        ...

    def leave(self) -> bool:
        """Go up; False at the top, where there is no way up."""
        ...

    def restart(self, target: AnyStr) -> AnyStr:
        """Go to the top, for the absolute `target` of a symlink; give what is to be followed from there."""
        ...


def walk(names: Sequence[AnyStr], place: Place[AnyStr], where: str) -> AnyStr | None:
    """Walk to the last of `names`, which is no symlink; the place stands in its directory then.

    Gives None where they end in the directory that the place stands in. Raises UnsafeFile for what leads out of the
    place, or does not end; `where` names it.
    """
    pending = deque(names)
    links = 0
    while pending:
        name = pending.popleft()
        spelled = os.fsdecode(name)
        if spelled in ("", "."):
            continue
        if spelled == "..":
            if not place.leave():
                raise leads_out(where)
            continue
        target = place.link(name)
        if target is None:
            if not pending:
                return name
            place.enter(name)
            continue
        links += 1
        if links > MAX_SYMLINKS:
            raise too_many_links(where)
        slash = target[:0] + ("/" if isinstance(target, str) else b"/")
        if target.startswith(slash):
            target = place.restart(target)
        pending.extendleft(reversed(target.split(slash)))
    return None


def follow(path: str, where: str, link: Callable[[str], str | None]) -> str:
    """Resolve the symlinks of a relative path by name alone, as inside an archive.

    `link` gives the target of the symlink at a path, or None for anything else. Raises UnsafeFile for a path that
    leads out, or that does not end; `where` names it.
    """
    named = _Named(link, where)
    last = walk(path.split("/"), named, where)
    return "/".join(named.above if last is None else [*named.above, last])


class _Named:
    """A place that consists of names."""

    def __init__(self, link: Callable[[str], str | None], where: str) -> None:
        self.above: list[str] = []
        self._link = link
        self._where = where

    def link(self, name: str) -> str | None:
        return self._link("/".join([*self.above, name]))

    def enter(self, name: str) -> None:
        self.above.append(name)

    def leave(self) -> bool:
        return bool(self.above) and self.above.pop() is not None

    def restart(self, target: str) -> str:
        raise leads_out(self._where)


def leads_out(where: str) -> UnsafeFile:
    """Say that a symlink leaves the place that holds the image."""
    return UnsafeFile(where, "a symlink leads out of the image's own files; copy what it points at into its place")


def too_many_links(where: str) -> UnsafeFile:
    """Say that symlinks do not end."""
    return UnsafeFile(where, f"more than {MAX_SYMLINKS} links follow each other; export the image again")
