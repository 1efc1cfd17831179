"""`rootfs-builder build`: one image, one disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from builder.actions.build import build as build_image
from builder.actions.fetching import fetching_apart
from builder.cli.command import Command
from builder.cli.console import Console
from builder.cli.options import build_options, table_options
from builder.cli.types import FILE, IMAGE
from builder.sizes import human_size


@click.command(cls=Command)
@click.argument("image", type=IMAGE)
@click.option("-o", "--output", type=FILE, required=True, help="The disk to write: NAME.ext4 or NAME.erofs.")
@table_options("build")
@click.pass_obj
def build(console: Console, /, image: str, output: Path, **options: Any) -> None:
    """Build the root disk of IMAGE.

    The disk appears under its name when it is complete, or not at all. The same image and options
    give the same bytes, whoever builds, wherever and whenever; SOURCE_DATE_EPOCH is honoured.

    \b
    Examples:
      rootfs-builder build oci:layout:latest -o rootfs.ext4
      rootfs-builder build docker://alpine:3.20 -o alpine.ext4
      rootfs-builder build image.tar -o rootfs.erofs --compress lz4hc:12
      rootfs-builder build oci:layout -o arm.ext4 --platform linux/arm64
    """
    console.image = os.fspath(output)
    chosen = build_options(**options)
    with fetching_apart(image, chosen.sandbox):
        result = build_image(image, output, chosen, console.listener())
    disk = result.disk
    facts = f"{disk.format}, {human_size(disk.size)}, {disk.inodes} inodes, UUID {disk.uuid}"
    if disk.verity:
        facts += f", verity root hash {disk.verity.root_hash}"
    console.say(f"{output}: {facts}" if result.built else f"{output}: up to date")
    if result.pushed:
        console.say(f"{result.pushed}: pushed")
    if disk.verity and not (options["metadata_file"] or result.pushed):
        console.notice(f"{output}: its root hash is in no file; --metadata-file {output}.json keeps it, for boot, too")
    console.answer(os.fsencode(output))
