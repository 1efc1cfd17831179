"""The merge once more, told slower: a dictionary from whole paths to what is there."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import count

from builder.archive.entry import Entry, Kind
from builder.tree.nodes import Directory, Fifo, File, Node, Symlink
from builder.tree.tree import Tree

Path = tuple[str, ...]


class ModelRefuses(Exception):
    pass


@dataclass(eq=False)
class Inode:
    kind: str
    fact: object = None


class Model:
    """Every path that exists, with its inode; directories are inodes of kind `directory`, the root is ()."""

    def __init__(self) -> None:
        self.at: dict[Path, Inode] = {(): Inode("directory", 0o755)}

    def apply(self, entries: list[Entry]) -> None:
        whiteouts = [each for each in entries if b".wh." in each.path]
        additions = [each for each in entries if b".wh." not in each.path]
        replaced = {split(each.path) for each in additions if each.kind is not Kind.SYMLINK}
        replaced |= {(*split(each.path)[:-1], split(each.path)[-1][4:]) for each in whiteouts}
        hides: list[tuple[int, set[Path]]] = []
        for number, each in enumerate(entries):
            if each not in whiteouts:
                continue
            *above, mark = split(each.path)
            first = next((p for p in prefixes(tuple(above)) if self.kind(p) != "directory"), None)
            if first is not None and self.kind(first) == "symlink" and first in replaced:
                continue
            place = self.real(tuple(above), links=0)
            if place is None or self.kind(place) != "directory":
                continue
            doomed = {
                path
                for path in self.at
                if len(path) > len(place)
                and path[: len(place)] == place
                and (mark == ".wh..wh..opq" or path[len(place)] == mark[4:])
            }
            hides.append((number, doomed))
        # What each hardlink named among what the whiteouts before it left, unless it is still there in the end.
        before = [self.seen(each, hides[: bisect_left(hides, (n, set()))]) for n, each in enumerate(entries)]
        after = [self.seen(each, hides) for each in entries]
        for path in set().union(*(doomed for _, doomed in hides)):
            del self.at[path]
        for each, named, left in zip(entries, before, after, strict=True):
            if each not in whiteouts:
                self.add(each, None if named is left else named)

    def seen(self, entry: Entry, hides: list[tuple[int, set[Path]]]) -> Inode | None:
        if entry.kind is not Kind.HARDLINK:
            return None
        view = Model()
        view.at = {path: found for path, found in self.at.items() if not any(path in doomed for _, doomed in hides)}
        target = split(entry.link)
        try:
            above = view.real(target[:-1], links=0)
        except ModelRefuses:
            return None
        return view.at.get((*above, target[-1])) if above is not None and target else None

    def add(self, entry: Entry, hidden: Inode | None) -> None:
        path = split(entry.path)
        if not path:
            if entry.kind is not Kind.DIRECTORY:
                raise ModelRefuses
            self.at[()].fact = entry.mode
            return
        above = self.real(path[:-1], links=0, make=True)
        assert above is not None
        path = (*above, path[-1])
        if entry.kind is Kind.DIRECTORY and self.kind(path) == "directory":
            self.at[path].fact = entry.mode
            return
        for old in [old for old in self.at if old[: len(path)] == path]:
            del self.at[old]
        self.at[path] = self.linked(entry, path, hidden) if entry.kind is Kind.HARDLINK else inode(entry)

    def linked(self, entry: Entry, path: Path, hidden: Inode | None) -> Inode:
        target = split(entry.link)
        above = self.real(target[:-1], links=0)
        if above is not None and target and (*above, target[-1]) == path:
            raise ModelRefuses
        found = self.at.get((*above, target[-1])) if above is not None and target else None
        found = found or hidden
        if found is None or found.kind == "directory":
            raise ModelRefuses
        return found

    def kind(self, path: Path) -> str:
        return self.at[path].kind if path in self.at else "nothing"

    def real(self, path: Path, links: int, make: bool = False) -> Path | None:
        """The directory a path leads to, one component and one recursion at a time."""
        if links > 40:
            raise ModelRefuses
        here: Path = ()
        for position, name in enumerate(path):
            if name in ("", "."):
                continue
            if name == "..":
                here = here[:-1]
                continue
            there = (*here, name)
            if self.kind(there) == "symlink":
                target = str(self.at[there].fact)
                start = () if target.startswith("/") else here
                return self.real((*start, *target.split("/"), *path[position + 1 :]), links + 1, make)
            if self.kind(there) == "nothing" and make:
                self.at[there] = Inode("directory", 0o755)
            if self.kind(there) != "directory":
                if make:
                    raise ModelRefuses
                return None
            here = there
        return here


def split(raw: bytes) -> Path:
    return tuple(name for name in raw.decode().split("/") if name not in ("", "."))


def prefixes(path: Path) -> list[Path]:
    return [path[:length] for length in range(1, len(path) + 1)]


def inode(entry: Entry) -> Inode:
    match entry.kind:
        case Kind.FILE:
            return Inode("file", entry.size)
        case Kind.DIRECTORY:
            return Inode("directory", entry.mode)
        case Kind.SYMLINK:
            return Inode("symlink", entry.link.decode())
        case _:
            return Inode("fifo")


def from_model(model: Model) -> list[tuple[str, str, object, int]]:
    numbers = count()
    known: dict[int, int] = {}
    return [
        ("/".join(path), found.kind, found.fact, known.setdefault(id(found), next(numbers)))
        for path, found in sorted(model.at.items())
    ]


def from_tree(tree: Tree) -> list[tuple[str, str, object, int]]:
    numbers = count()
    known: dict[int, int] = {}
    listed: list[tuple[str, str, object, int]] = []
    kind: str
    fact: object
    found: dict[Path, Node] = {(): tree.root} | {split(path): node for path, node in tree.walk()}
    for path, node in sorted(found.items()):
        match node:
            case Directory(mode=mode):
                kind, fact = "directory", mode
            case File(content=content):
                kind, fact = "file", content.size
            case Symlink(target=target):
                kind, fact = "symlink", target.decode()
            case Fifo():
                kind, fact = "fifo", None
        listed.append(("/".join(path), kind, fact, known.setdefault(id(node), next(numbers))))
    return listed
