"""`rootfs-builder inspect`: what an image is, and what its disk will need."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from builder.actions.fetching import fetching_apart
from builder.actions.inspect import describe
from builder.actions.inspect import survey as survey_image
from builder.actions.inspect_disk import is_disk
from builder.cli.command import Command
from builder.cli.console import Console
from builder.cli.options import build_options, table_options
from builder.cli.types import IMAGE, Parsed
from builder.errors import UsageError
from builder.form import COUNT
from builder.options import BuildOptions
from builder.output.metadata import describe_image
from builder.output.render import render_json
from builder.sizes import human_size
from builder.words import legible

_COUNT = Parsed(COUNT.shown, COUNT.parse)


@click.command(cls=Command)
@click.argument("image", type=IMAGE, metavar="IMAGE|DISK")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
@click.option("--quick", is_flag=True, help="Read no layers: leave out what a disk will need.")
@click.option("--tree", is_flag=True, help="Show where the bytes are instead, by layer and directory.")
@click.option("--depth", type=_COUNT, help="With --tree: levels of directories to show; all by default.")
@click.option(
    "--top", type=_COUNT, help="With --tree: entries to show of each list; by default what the terminal has room for."
)
@table_options("inspect")
@click.pass_obj
def inspect(
    console: Console,
    /,
    image: str,
    as_json: bool,
    quick: bool,
    tree: bool,
    depth: int | None,
    top: int | None,
    **options: Any,
) -> None:
    """Say what IMAGE or DISK is, and what a disk of the image takes.

    Every layer is read and verified, and a disk of each format is made and thrown away; --quick
    leaves that out.

    With --tree, every layer is read and verified, and nothing is made: it shows the largest
    directories and files, what each layer brings, and what upper layers deleted or replaced of it.
    As JSON that is all of it, unless --depth or --top is given.

    DISK is a file or device with ext4 or erofs: what its superblock says, and the metadata beside
    it; with --tree, what is in it. It need not be one of this program's.

    \b
    Examples:
      rootfs-builder inspect oci:layout:latest
      rootfs-builder inspect image.tar --json | jq .disks
      rootfs-builder inspect oci:app --tree --depth 2
      rootfs-builder inspect oci:app --tree --json | jq '.biggest[:3]'
      rootfs-builder inspect rootfs.ext4 --tree
    """
    if tree and quick:
        raise UsageError("--tree reads every layer, and --quick none; leave one of them out")
    if not tree and (depth, top) != (None, None):
        raise UsageError("--depth and --top are for --tree; give that, too")
    chosen = build_options(**options)
    if is_disk(image):
        if quick:
            raise UsageError(f"{image} is a disk, and --quick is for images; leave it out")
        # Here, for what only this needs.
        from builder.cli.inspect_disk import show_disk

        show_disk(console, Path(image), chosen, as_json=as_json, tree=tree, depth=depth, top=top)
        return
    with fetching_apart(image, chosen.sandbox):
        if tree:
            _show_tree(console, image, as_json, depth, top, chosen)
            return
        described = _quickly(console, image, chosen) if quick else _wholly(console, image, chosen)
    if as_json:
        console.answer(render_json(described).rstrip())
    else:
        console.answer("\n".join(_lines(described)).encode("utf-8", "surrogateescape"))


def _show_tree(
    console: Console, reference: str, as_json: bool, depth: int | None, top: int | None, chosen: BuildOptions
) -> None:
    # Here, for what only this needs.
    from builder.actions.look import look
    from builder.cli.tree import room, tree_lines
    from builder.output import tree_json

    found = look(reference, chosen, console.listener())
    if not as_json:
        lines = tree_lines(found, room(top, depth, len(found.layers)))
        console.answer_in_pieces(f"{line}\n".encode("utf-8", "surrogateescape") for line in lines)
        return
    digests = [str(layer.descriptor.digest) for layer in found.image.layers]
    tree = {
        "size": found.sums.total.size,
        "files": found.sums.total.files,
        "wasted": found.wasted,
        "dive": {"efficiency": found.efficiency, "wastedBytes": found.repeated},
        "layers": tree_json.uses(found.layers, digests),
    }
    lists = {
        "directories": tree_json.directories(found.sums, depth),
        "biggest": tree_json.files(found.sums, top),
        "lost": tree_json.losses(found.losses, top),
    }
    console.answer_in_pieces(tree_json.tree_json({**describe_image(found.image), "tree": tree}, lists))


def _quickly(console: Console, reference: str, chosen: BuildOptions) -> dict[str, Any]:
    return describe_image(describe(reference, chosen, console.notices))


def _wholly(console: Console, reference: str, chosen: BuildOptions) -> dict[str, Any]:
    survey = survey_image(reference, chosen, console.listener())
    disks = {disk.format: {"size": disk.size, "inodes": disk.inodes} for disk in survey.disks}
    return {**describe_image(survey.image), "entries": survey.entries, "disks": disks}


def _lines(image: dict[str, Any]) -> list[str]:
    """Write a description for people, a fact a line."""
    config = image["config"]
    facts = {
        "Image": image["reference"],
        "Platform": image["platform"],
        "Manifest": image["manifest"]["digest"] or "none (its source keeps none)",
        "Config": config["digest"],
        "Created": config.get("created"),
        **{key: _words(config.get(key)) for key in ("Entrypoint", "Cmd", "WorkingDir", "User", "StopSignal")},
        "Env": _words(config.get("Env")),
        "ExposedPorts": _words(config.get("ExposedPorts")),
        "Volumes": _words(config.get("Volumes")),
        "Labels": _words([f"{name}={value}" for name, value in config.get("Labels", {}).items()]),
        "Layers": str(len(image["layers"])),
    }
    lines = [f"{name + ':':14}{value}" for name, value in facts.items() if value]
    lines += [
        f"  {layer['digest']}  {human_size(layer['size']):>10}  {layer['mediaType']}" for layer in image["layers"]
    ]
    if "disks" in image:
        lines.append(f"{'Entries:':14}{image['entries']}")
        for name, disk in image["disks"].items():
            lines.append(f"{name + ' disk:':14}{human_size(disk['size'])}, {disk['inodes']} inodes")
    return [legible(line) for line in lines]


def _words(value: list[str] | str | None) -> str | None:
    """Write a list as JSON, so that odd words stay apart; nothing for what is empty."""
    if not value:
        return None
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
