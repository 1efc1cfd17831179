"""Changes applied to the merged tree, each as a layer of its own: paths are resolved in the tree, never on the host."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from msgspec.structs import replace

from builder.additions.addition import AddedTar, Addition, Removal
from builder.additions.host import AdditionFailed, Found, changed, content, find
from builder.additions.survey import Listing, Surveyed, mode_of
from builder.additions.tar import read_tar
from builder.archive.entry import Entry, Kind
from builder.errors import LayerRefused, LimitExceeded
from builder.events import Listener, Stage, ignore
from builder.layers.account import Account
from builder.linux import WHITEOUT
from builder.tree.entries import Entries
from builder.tree.lookup import find_node, find_path
from builder.tree.merge import apply_layer
from builder.tree.nodes import EMPTY, Content, Directory
from builder.tree.paths import Refusal, components
from builder.tree.spool import Spool
from builder.tree.tree import Tree
from builder.words import quoted


@dataclass(frozen=True, slots=True)
class Build:
    """What changes are applied to: a tree, where content goes, what is counted; `mtime_ns` is the time of all."""

    tree: Tree
    spool: Spool
    account: Account
    mtime_ns: int = 0
    listen: Listener = ignore


def apply_changes(build: Build, surveyed: Sequence[Surveyed]) -> None:
    """Apply changes one after the other, each to what the one before it left.

    Raises AdditionFailed for what does not fit the image or is not what it was when it was surveyed, LayerRefused for
    a tar that no layer could be, LimitExceeded.
    """
    for each in surveyed:
        name = str(each.change)
        build.listen(Stage(f"applying {name}"))
        try:
            apply_layer(build.tree, name, Entries(_entries(build, each, name)), build.listen)
        except Refusal as refusal:
            raise AdditionFailed(name, refusal.reason) from refusal
        except LimitExceeded:
            raise
        except LayerRefused as error:
            # What is in a tar may be anybody's; all else was said here.
            if isinstance(each.change, AddedTar) or error.entry is None:
                raise
            raise AdditionFailed(name, f"{quoted(b'/' + error.entry)}: {error.reason}") from error


def _entries(build: Build, surveyed: Surveyed, name: str) -> Iterator[tuple[Entry, Content]]:
    change = surveyed.change
    if isinstance(change, Removal):
        yield _whiteout(build.tree, surveyed.target, name), EMPTY
    elif isinstance(change, AddedTar):
        place = _directory(build.tree, surveyed.target, name)
        entries = read_tar(change, surveyed.digest, build.spool, build.account, name)
        yield from (_below(place, each) for each in entries.take())
    else:
        yield from _Adding(build, change, surveyed, name).entries()


def _whiteout(tree: Tree, path: tuple[bytes, ...], name: str) -> Entry:
    if find_node(tree, path, follow=False) is None:
        raise AdditionFailed(name, f"there is no {_named(path)} in the image; check the path, or leave it out")
    return Entry(b"/".join((*path[:-1], WHITEOUT + path[-1])), Kind.FILE)


def _directory(tree: Tree, path: tuple[bytes, ...], name: str) -> tuple[bytes, ...]:
    """Resolve a path that is a directory, or can become one. Raises AdditionFailed, Refusal."""
    resolved = find_path(tree, path)
    if resolved is None and find_node(tree, path, follow=False) is None:
        return path
    if resolved is None or not isinstance(find_node(tree, resolved), Directory):
        what = "a symlink to nothing" if resolved is None else "no directory"
        raise AdditionFailed(name, f"{_named(path)} is {what} in the image; --remove it first")
    return resolved


def _below(place: tuple[bytes, ...], member: tuple[Entry, Content]) -> tuple[Entry, Content]:
    entry, content = member
    if not place:
        return member
    prefix = b"/".join(place) + b"/"
    link = prefix + entry.link if entry.kind is Kind.HARDLINK else entry.link
    return replace(entry, path=prefix + entry.path, link=link), content


class _Adding:
    """One addition on its way into the tree."""

    def __init__(self, build: Build, addition: Addition, surveyed: Surveyed, name: str) -> None:
        self._build = build
        self._addition = addition
        self._surveyed = surveyed
        self._name = name
        self._target = surveyed.target

    def entries(self) -> Iterator[tuple[Entry, Content]]:
        """Yield the entries of the layer, content spooled, and see that they are what was surveyed."""
        source = self._addition.source
        if isinstance(source, bytes):
            entry = self._entry(Found(b"", Kind.FILE, size=len(source)))
            yield entry, self._build.spool.keep(source)
            return
        listing = Listing(self._addition)
        with closing(find(os.fspath(source), self._name)) as everything:
            for found in everything:
                entry = self._entry(found)
                digest, stored = self._store(found)
                listing.add(found, digest)
                if found.kind is not Kind.DIRECTORY:
                    yield entry, stored
                elif (directory := self._directory(entry, is_target=not found.path)) is not None:
                    yield directory, EMPTY
        again = listing.finish()
        if (again.digest, again.mode) != (self._surveyed.digest, self._surveyed.mode):
            raise changed(self._name, b"")

    def _entry(self, found: Found) -> Entry:
        """Make an entry, held against the limits and against what is there. Raises AdditionFailed, Refusal."""
        path = self._path(found.path)
        uid, gid = self._addition.owner or (0, 0)
        link = b"/".join(self._path(found.link)) if found.kind is Kind.HARDLINK else found.link
        mode = mode_of(self._addition, found)
        entry = Entry(b"/".join(path), found.kind, mode, uid, gid, self._build.mtime_ns, found.size, link)
        self._build.account.entry(self._name, entry)
        if any(part.startswith(WHITEOUT) for part in path):
            reason = (
                f"{quoted(found.path or path[-1])} in it begins with .wh., which a layer takes for a removal; rename it"
            )
            raise AdditionFailed(self._name, reason)
        if found.kind is not Kind.DIRECTORY and isinstance(find_node(self._build.tree, path), Directory):
            advice = f"write {_named(path, '/')} to put it in there" if not found.path else "--remove it first"
            raise AdditionFailed(self._name, f"{_named(path)} is a directory in the image; {advice}")
        return entry

    def _directory(self, entry: Entry, *, is_target: bool) -> Entry | None:
        """Give the entry that a directory needs; one that is there needs none, and keeps its mode and owner.

        Those of TARGET are set where they are said.
        """
        path = _directory(self._build.tree, components(entry.path), self._name)
        existing = find_node(self._build.tree, path)
        if not isinstance(existing, Directory):
            return entry
        said = self._addition
        if not is_target or (said.mode is None and said.owner is None):
            return None
        # What is not said of it stays.
        kept = replace(entry, path=b"/".join(path), xattrs=existing.xattrs)
        kept = kept if said.mode is not None else replace(kept, mode=existing.mode)
        return kept if said.owner is not None else replace(kept, uid=existing.uid, gid=existing.gid)

    def _path(self, relative: bytes) -> tuple[bytes, ...]:
        return (*self._target, *relative.split(b"/")) if relative else self._target

    def _store(self, found: Found) -> tuple[str, Content]:
        """Put content into the spool; return its sha256, too."""
        if found.kind is not Kind.FILE:
            return "", EMPTY
        hasher = hashlib.sha256()

        def pieces() -> Iterator[tuple[int, bytes]]:
            position = 0
            for chunk in content(found, self._name):
                hasher.update(chunk)
                yield position, chunk
                position += len(chunk)

        stored = self._build.spool.add(found.size, pieces())
        return hasher.hexdigest(), stored


def _named(path: tuple[bytes, ...], end: str = "") -> str:
    return quoted(b"/" + b"/".join(path) + end.encode())
