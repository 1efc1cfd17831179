"""`rootfs-builder store`: the image store, one function per sub-command; pulling is in pull.py."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from typing import Any

import click

from builder.cli.command import Command, Group
from builder.cli.console import Console
from builder.cli.options import store_option_below, table_option
from builder.cli.pull import add, pull
from builder.cli.types import Parsed
from builder.errors import ImageNotFound, InvalidReference
from builder.image.name import ImageName
from builder.sizes import counted, human_size
from builder.store import open_store
from builder.store.check import Damage, StoreDamaged, check
from builder.store.collect import collect
from builder.store.find import find, offer
from builder.store.listing import StoredImage, images
from builder.words import legible

_HEADINGS = ("REPOSITORY", "TAG", "DIGEST", "PLATFORMS", "LAYERS", "SIZE")


@click.group(cls=Group, no_args_is_help=False)
@table_option("store")
@click.pass_context
def store(ctx: click.Context, store: str | None) -> None:
    """Keep images in a store of blobs, each of which is there once.

    The store is in $XDG_DATA_HOME/rootfs-builder, by default ~/.local/share/rootfs-builder;
    --store and ROOTFS_BUILDER_STORE name another. Any number of commands may use one at a
    time, and any of them may be killed. Images in it are built as store:NAME.

    \b
    Examples:
      rootfs-builder store pull oci:layout:latest --name localhost/app:1.0
      rootfs-builder build store:localhost/app:1.0 -o app.ext4
    """
    # For sub-commands, on which the option may stand as well.
    ctx.default_map = {name: {"store": store} for name in _COMMANDS if store is not None}


@click.command("list", cls=Command)
@store_option_below
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array instead of a table.")
@click.pass_obj
def list_(console: Console, /, store: str | None, as_json: bool) -> None:
    """List the images of the store.

    PLATFORMS are those that can be built; SIZE is that of all blobs of the image, of which
    other images may share some.
    """
    with closing(open_store(store)) as opened:
        found = images(opened, console.notices)
    if as_json:
        console.answer(json.dumps([_described(image, found) for image in found], indent=2).encode())
    elif found:
        console.answer("\n".join(_table([_HEADINGS, *map(_row, found)])).encode())
    else:
        # With its place: it may be that of a mistyped --store, where nothing is.
        console.say(f"no images in {opened.place}")


@click.command(cls=Command)
@store_option_below
@click.option("--quarantine", is_flag=True, help="Move what is corrupt away, so that the next pull fetches it anew.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
@click.pass_obj
def verify(console: Console, /, store: str | None, quarantine: bool, as_json: bool) -> None:
    """Hash every blob again, and look whether images are whole.

    What is wrong is named, and the images that need it; the exit status is 3 then. Blobs are
    read in parallel, and other commands may go on meanwhile.
    """
    with closing(open_store(store, console.notices)) as opened:
        checked = check(opened, quarantine, console.listener())
        if as_json:
            console.answer(json.dumps(asdict(checked), indent=2).encode())
        elif checked.damages:
            console.answer("\n".join(map(_line, checked.damages)).encode())
        if checked.damages:
            raise StoreDamaged(opened.place, len(checked.damages), quarantine)
        count = f"{counted(checked.blobs, 'blob')} of {counted(checked.references, 'image')}"
        console.say(f"{count} are intact, {human_size(checked.size)}")


@click.command(cls=Command)
@click.argument("names", metavar="NAME...", nargs=-1, required=True, type=Parsed("name", ImageName.parse))
@store_option_below
@click.pass_obj
def remove(console: Console, /, names: Sequence[ImageName], store: str | None) -> None:
    """Forget images; `store gc` frees what only they needed.

    Prints the full name of each. Nothing is removed when there is no image of one of the names.
    """
    with closing(open_store(store, console.notices)) as opened:
        chosen = []
        for name in names:
            found = [full for full in find(opened, name) if opened.get_manifest(full) is not None]
            if not found:
                there = offer(opened, name)
                raise ImageNotFound(str(name), f"there is no such image in the store {opened.place}; {there}")
            if len(found) > 1:
                raise InvalidReference(str(name), f"names several images; write {' or '.join(map(str, found))}")
            chosen += found
        for full in dict.fromkeys(chosen):
            opened.remove(full)
            console.answer(str(full).encode())


@click.command(cls=Command)
@store_option_below
@click.option("--dry-run", is_flag=True, help="Only say what would be freed.")
@click.pass_obj
def gc(console: Console, /, store: str | None, dry_run: bool) -> None:
    """Free what no image of the store needs.

    Blobs that a running command needs are kept. What interrupted pulls left is freed, too:
    pull again first if it should be used.
    """
    with closing(open_store(store, console.notices)) as opened:
        freed = collect(opened, dry_run)
    blobs, files = counted(freed.blobs, "blob"), counted(freed.temporaries, "temporary file")
    done = "would be freed" if dry_run else "freed"
    console.answer(f"{human_size(freed.size)} {done}: {blobs}, {files}, {counted(freed.leases, 'lease')}".encode())


def _described(image: StoredImage, others: Sequence[StoredImage]) -> dict[str, Any]:
    digest = image.descriptor.digest
    return {
        "repository": image.name.repository,
        "tag": image.name.tag,
        "names": [str(other.name) for other in others if other.descriptor.digest == digest],
        "mediaType": image.descriptor.media_type,
        "digest": str(digest),
        "platforms": [str(platform) for platform in image.platforms],
        "layers": image.layers,
        "size": image.size,
        "missing": [str(missing) for missing in image.missing],
        "problem": image.problem,
    }


def _row(image: StoredImage) -> tuple[str, ...]:
    platforms = legible(",".join(map(str, image.platforms))) or ("damaged" if image.problem else "incomplete")
    digest = f"{image.descriptor.digest.algorithm}:{image.descriptor.digest.hex[:12]}"
    return (image.name.repository, image.name.tag or "-", digest, platforms, str(image.layers), human_size(image.size))


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _line(damage: Damage) -> str:
    needed = f"; needed by {', '.join(damage.images)}" if damage.images and damage.images != (damage.what,) else ""
    moved = f"; moved to {damage.moved_to}" if damage.moved_to else ""
    return legible(f"{damage.what}: {damage.reason}{needed}{moved}")


_COMMANDS = {"pull": pull, "add": add, "list": list_, "verify": verify, "remove": remove, "gc": gc}
for command in _COMMANDS.values():
    store.add_command(command)
