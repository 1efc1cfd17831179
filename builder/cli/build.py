"""`rootfs-builder build`: one image, one disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from builder.actions.build import build as build_image
from builder.cli.console import Console, human_size
from builder.cli.options import build_options, disk_options, reading_options
from builder.cli.types import FILE, IMAGE


@click.command()
@click.argument("image", type=IMAGE)
@click.option("-o", "--output", type=FILE, required=True, help="The disk to write: NAME.ext4 or NAME.erofs.")
@disk_options
@reading_options
@click.option("--metadata-file", type=FILE, help="Write digests, sizes, UUID and image config here, as JSON.")
@click.option("--depfile", type=FILE, help="Write the files the disk was made from here, for make.")
@click.option("--force", is_flag=True, help="Replace the output even if it is no disk.")
@click.pass_obj
def build(console: Console, /, image: str, output: Path, progress: str, **options: Any) -> None:
    """Build the root disk of IMAGE.

    The disk appears under its name when it is complete, or not at all. The same image and options
    give the same bytes, whoever builds, wherever and whenever; SOURCE_DATE_EPOCH is honoured.

    \b
    Examples:
      rootfs-builder build oci:layout:latest -o rootfs.ext4
      rootfs-builder build docker://alpine:3.20 -o alpine.ext4
      rootfs-builder build image.tar -o rootfs.erofs --compress lz4hc:12
      rootfs-builder build oci:layout -o rootfs.ext4 --platform linux/arm64 --free 512M
    """
    result = build_image(image, output, build_options(**options), console.listener(progress))
    disk = result.disk
    console.say(f"{output}: {disk.format}, {human_size(disk.size)}, {disk.inodes} inodes, UUID {disk.uuid}")
    console.answer(os.fsencode(output))
