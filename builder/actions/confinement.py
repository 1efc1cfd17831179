"""What a command gives up once it knows what it is to read and to write: everything else.

From there on it reads layers and disks, which may be anybody's, and starts tools. Only in a process that ends with its
work, for nothing of it comes back: one that calls us from Python keeps all, and only the tools are confined.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from builder.additions.addition import AddedTar, Addition, Change
from builder.decoded.place import Unusable, default_place, layers_of, open_layers
from builder.errors import UsageError
from builder.files.descriptors import is_exchangeable
from builder.files.lasting import make_lasting
from builder.files.urls import archive_of, is_url
from builder.options import BuildOptions
from builder.sandbox import policy
from builder.sandbox.owned import is_owned
from builder.sources.access import Access
from builder.sources.reference import parse_reference
from builder.sources.source import Fetching, Placed, Source
from builder.tool import search_path

NONE, TOOLS, ALL = "none", "tools", "all"

# By format, a module that a build imports late: it is imported before, while Python can still write it down compiled.
LATE = {"ext4": "builder.disk.ext4.fill", "erofs": "builder.disk.erofs.restore"}


@dataclass(frozen=True, slots=True)
class Places:
    """The files of this machine that a piece of work needs, besides the system's; those that do not exist do not count.

    It reads what is at the paths `read`, changes anything below the directories `changed`, and removes empty
    directories from those in `left`, such as its work directory at the end.
    """

    read: Iterable[str | Path] = ()
    changed: Iterable[str | Path] = ()
    left: Iterable[str | Path] = ()

    def __add__(self, other: Places) -> Places:
        """These and others."""
        return Places((*self.read, *other.read), (*self.changed, *other.changed), (*self.left, *other.left))


def confine(find: Callable[[], Places | str], *, late: Sequence[str] = (), restores: bool = False) -> str:
    """Give up all but the places that `find` gives; it may give the reason instead why nobody knows them.

    Modules that would be imported `late` are imported before. With `restores`, files can be given owners and modes.
    Returns what is confined from now on: NONE, TOOLS or ALL. Raises UsageError where more is required than can be.
    """
    places = _places(find)
    if isinstance(places, str):
        return places
    for name in late:
        import_module(name)
    from builder.sandbox.process import confine_process

    changed = _paths(places.changed)
    if os.geteuid() == 0 and any(map(is_exchangeable, map(Path, filter(os.path.exists, changed)))):
        # What is staged for mkfs.erofs is there, where others could exchange a directory (erofs/staging.py).
        changed.append("/var/tmp")
    left = _paths(places.left)
    return _confined(lambda: confine_process(_paths(places.read), changed, search_path(), left=left, restores=restores))


def confine_sending(find: Callable[[], Places | str]) -> str:
    """Start no program from now on, and change nothing but the places that `find` gives; see `confine`."""
    places = _places(find)
    if isinstance(places, str):
        return places
    from builder.sandbox.fetching import confine_fetching

    return _confined(lambda: confine_fetching(_paths(places.changed), _paths(places.left)))


def _confined(give_up: Callable[[], None]) -> str:
    try:
        give_up()
    except OSError as error:
        # A container may forbid it.
        policy.unless_required(error)
        return TOOLS
    return ALL


def _places(find: Callable[[], Places | str]) -> Places | str:
    """Give the places to which this process can be confined; NONE or TOOLS where it is not. Raises UsageError."""
    if policy.is_off():
        return NONE
    # Here, because who confines nothing should not wait for the import of what calls C.
    from builder.sandbox import landlock, seccomp

    if not landlock.version() and not seccomp.is_there():
        return NONE
    if not is_owned() or landlock.version() < landlock.MOVES_KNOWN:
        return TOOLS
    places = find()
    if isinstance(places, str):
        if policy.is_required():
            raise UsageError(f"--sandbox require: {places}")
        return TOOLS
    return places


def _paths(places: Iterable[str | Path]) -> list[str]:
    return [os.fspath(place) for place in places]


def confine_reading(
    source: Source,
    reference: str,
    options: BuildOptions,
    places: Places,
    *,
    late: Sequence[str] = (),
    restores: bool = False,
) -> str:
    """Give up all but `places`, what is added, where the image is, and where its decoded layers are; see `confine`.

    If another process fetches the image, that fetches nothing from now on but what was opened before.
    """

    def find() -> Places | str:
        if options.push is not None:
            return "what pushes a disk needs the network to the end: leave out --push, and push the disk afterwards"
        if (reason := why_unknown(source, reference, options.access)) is not None:
            return reason
        if isinstance(source, Fetching):
            source.settle()
        return places + places_of(source, reference) + Places(added(options.additions), _cache(options))

    return confine(find, late=late, restores=restores)


def confine_documents(source: Source, reference: str, options: BuildOptions) -> str:
    """Give up all but where the image is, of which only documents are read from now on; see `confine`."""

    def find() -> Places | str:
        if (reason := why_unknown(source, reference, options.access)) is not None:
            return reason
        if isinstance(source, Fetching) and isinstance(source, Placed):
            make_directories(source.changeable())
            source.stay()
        return places_of(source, reference)

    return confine(find)


def confine_build(source: Source, reference: str, options: BuildOptions, places: Places) -> str:
    """Give up all but what a build needs, which makes a disk in `places`; see `confine`."""
    late = filter(None, ["builder.actions.merge", "builder.disk.content", LATE.get(options.format or "")])
    return confine_reading(source, reference, options, places, late=list(late))


def added(changes: Sequence[Change]) -> list[str]:
    """Name the files and directories of this machine that changes take something from."""
    sources = [each.source for each in changes if isinstance(each, Addition | AddedTar)]
    return [os.fspath(source) for source in sources if not isinstance(source, bytes)]


def places_of(source: Source | None, reference: str) -> Places:
    """Say where an image is, whose source was opened if it has a name."""
    parsed = parse_reference(reference)
    file = archive_of(parsed.place) if parsed.is_url else parsed.place
    own = Places([file]) if parsed.names_a_file and file else Places()
    return own + Places(source.readable(), source.changeable()) if isinstance(source, Placed) else own


def why_unknown(source: Source | None, reference: str, access: Access) -> str | None:
    """Say why nobody can tell what it takes to read an image; None where that is known."""
    parsed = parse_reference(reference)
    elsewhere = parsed.names_a_file and parsed.is_url and archive_of(parsed.place) is None
    if elsewhere or is_url(access.store or ""):
        return "nobody knows what opens a URL, and what it needs for that: name a path"
    if isinstance(source, Fetching) and not source.fetched_apart():
        return "this process fetches the image itself: run it from the command line, or pull the image first"
    return None


def make_directories(places: Iterable[str]) -> None:
    """Make directories that will be written to: once this process is confined, it cannot."""
    for place in places:
        # Whoever writes there says what is wrong with it.
        with suppress(OSError):
            make_lasting(os.path.abspath(place))


def _cache(options: BuildOptions) -> list[str]:
    """Make the place of decoded layers, which a confined process cannot, and say where it is."""
    place = options.cache.place or default_place()
    if not options.cache.keep or place is None:
        return []
    # Who reads layers says what is wrong with it.
    with suppress(Unusable, OSError):
        fd = open_layers(place, make=True)
        if fd is not None:
            os.close(fd)
        return [os.fspath(layers_of(place))]
    return []
