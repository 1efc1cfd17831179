"""What a build gives up once it knows what it is to read and to write: everything else.

From there on it reads layers, which may be anybody's, and starts tools. Only in a process that ends with its work, for
nothing of it comes back: one that calls us from Python keeps all, and only the tools are confined.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from builder.additions.addition import AddedTar, Addition, Removal
from builder.decoded.place import Unusable, default_place, layers_of, open_layers
from builder.errors import UsageError
from builder.files.descriptors import is_exchangeable
from builder.files.urls import is_url
from builder.options import BuildOptions
from builder.sandbox import policy
from builder.sandbox.owned import is_owned
from builder.sources.reference import parse_reference
from builder.sources.source import Fetching, Placed, Source
from builder.tool import search_path

NONE, TOOLS, ALL = "none", "tools", "all"

# By format, what is imported late, and compiled for the next time: now, while that can be written.
_LATE = {"ext4": "builder.disk.ext4.fill", "erofs": "builder.disk.erofs.restore"}


def confine(
    source: Source,
    reference: str,
    options: BuildOptions,
    written: Sequence[Path | None],
    read: Sequence[str] = (),
    *,
    restores: bool = False,
) -> str:
    """Give up all but the image, files that are added or `read`, and the directories of what is to be `written`.

    Returns what is confined from now on: NONE, TOOLS or ALL. Raises UsageError where more is required than can be.
    """
    if policy.is_off():
        return NONE
    # Here, because who confines nothing should not wait for the import of what calls C.
    from builder.sandbox import landlock, seccomp

    if not landlock.version() and not seccomp.is_there():
        return NONE
    if not is_owned() or landlock.version() < landlock.MOVES_KNOWN:
        return TOOLS
    if (reason := _reason_not_to(source, reference, options)) is not None:
        if policy.is_required():
            raise UsageError(f"--sandbox require: {reason}")
        return TOOLS
    for name in ("builder.actions.merge", "builder.disk.content", _LATE.get(options.format or "")):
        if name is not None:
            import_module(name)
    from builder.sandbox.process import confine_process

    places = source if isinstance(source, Placed) else None
    parsed = parse_reference(reference)
    readable = [parsed.place] if parsed.names_a_file else []
    readable += places.readable() if places else []
    readable += [os.fspath(each.source) for each in _added(options) if not isinstance(each.source, bytes)]
    changeable = [os.fspath(path) for path in written if path is not None]
    changeable += [*(places.changeable() if places else []), *_cache(options)]
    if os.geteuid() == 0 and any(map(is_exchangeable, map(Path, changeable))):
        # What others could exchange is staged there.
        changeable.append("/var/tmp")
    try:
        confine_process(
            [*readable, *read],
            changeable,
            search_path(),
            restores=restores,
        )
    except OSError as error:
        # What is around us may forbid it.
        policy.unless_required(error)
        return TOOLS
    return ALL


def _reason_not_to(source: Source, reference: str, options: BuildOptions) -> str | None:
    """Say why a build cannot tell what it will need; None where it can."""
    if options.push is not None:
        return "what pushes a disk needs the network to the end: leave out --push, and push the disk afterwards"
    parsed = parse_reference(reference)
    if (parsed.names_a_file and parsed.is_url) or is_url(options.access.store or ""):
        return "nobody knows what opens a URL, and what it needs for that: name a path"
    if isinstance(source, Fetching) and not source.settle():
        return "this process fetches the image itself: run it from the command line, or pull the image first"
    return None


def _added(options: BuildOptions) -> list[Addition | AddedTar]:
    return [each for each in options.additions if not isinstance(each, Removal)]


def _cache(options: BuildOptions) -> list[str]:
    """Make the place of decoded layers, for above it nothing can be made any more, and say where it is."""
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
