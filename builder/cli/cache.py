"""`rootfs-builder cache`: what is kept of layers that were decoded, one function per sub-command."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from builder.cli.command import Command, Group
from builder.cli.console import Console
from builder.cli.options import table_option
from builder.decoded.options import CacheOptions
from builder.decoded.place import Unusable, default_place, open_layers
from builder.decoded.room import Freed, Stored, clear, prune, stored
from builder.errors import StoreDenied, StoreError
from builder.sizes import counted, human_size

# For commands below one that has the option as well: what is said there comes before the environment.
_place_below = table_option("cache", envvar=None)


@click.group(cls=Group, no_args_is_help=False)
@table_option("cache")
@click.pass_context
def cache(ctx: click.Context, cache: Path | None) -> None:
    """Look after the layers that are kept decoded.

    They are in $XDG_CACHE_HOME/rootfs-builder, by default ~/.cache/rootfs-builder; --cache and
    ROOTFS_BUILDER_CACHE name another place, and the variable set to nothing none. Builds may go
    on meanwhile, whatever is removed.

    \b
    Examples:
      rootfs-builder cache info
      rootfs-builder cache prune --cache-size 2G
    """
    # For sub-commands, on which the option may stand as well.
    ctx.default_map = {name: {"cache": cache} for name in _COMMANDS if cache is not None}


@click.command(cls=Command)
@_place_below
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
@click.pass_obj
def info(console: Console, /, cache: Path | None, as_json: bool) -> None:
    """Say how many layers are kept, and what they take.

    As JSON, each of them is there with the time of its last use, the oldest first.
    """
    with _opened(cache) as (place, directory):
        files = [] if directory is None else stored(directory)
    layers = [each for each in files if each.is_layer]
    size = sum(each.size for each in files)
    if as_json:
        document = {"place": str(place), "size": size, "layers": [_described(each) for each in layers]}
        console.answer(json.dumps(document, indent=2).encode())
    else:
        console.answer(os.fsencode(f"{counted(len(layers), 'layer')}, {human_size(size)}, in {place}"))


@click.command(name="prune", cls=Command)
@_place_below
@table_option("cache-size", help="Keep no more than this.")
@click.pass_obj
def prune_(console: Console, /, cache: Path | None, cache_size: int | None) -> None:
    """Remove what was used longest ago, and what killed builds left.

    Layers that a running build uses go last. Builds do the same whenever they have added one.
    """
    limit = CacheOptions().size if cache_size is None else cache_size
    _free(console, cache, lambda directory: prune(directory, limit))


@click.command(name="clear", cls=Command)
@_place_below
@click.pass_obj
def clear_(console: Console, /, cache: Path | None) -> None:
    """Remove all layers that are kept."""
    _free(console, cache, clear)


def _free(console: Console, cache: Path | None, free: Callable[[int], Freed]) -> None:
    with _opened(cache) as (_, directory):
        freed = Freed(0, 0) if directory is None else free(directory)
    console.answer(f"{human_size(freed.size)} freed: {counted(freed.files, 'file')}".encode())


@contextmanager
def _opened(said: Path | None) -> Iterator[tuple[Path, int | None]]:
    """Open the cache that is meant, if it is there."""
    place = said or default_place()
    if place is None:
        raise StoreDenied("the cache of decoded layers", "has no place; name one with --cache")
    try:
        directory = open_layers(place, make=False)
        try:
            yield place, directory
        finally:
            if directory is not None:
                os.close(directory)
    except Unusable as unusable:
        raise StoreDenied(str(place), f"{unusable.reason}; name another place with --cache") from unusable
    except PermissionError as error:
        raise StoreDenied(str(place), f"{error.strerror}; name another place with --cache") from error
    except OSError as error:
        raise StoreError(str(place), f"{error.strerror}; name another place with --cache") from error


def _described(layer: Stored) -> dict[str, str | int]:
    return {"diffId": layer.name.replace("-", ":"), "size": layer.size, "used": layer.used_ns // 10**9}


_COMMANDS = {"info": info, "prune": prune_, "clear": clear_}
for command in _COMMANDS.values():
    cache.add_command(command)
