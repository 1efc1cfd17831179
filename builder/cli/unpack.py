"""`rootfs-builder unpack`: the merged root file system as a directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from builder.actions.fetching import fetching_apart
from builder.actions.unpack import unpack as unpack_image
from builder.cli.command import Command
from builder.cli.console import Console
from builder.cli.options import build_options, table_options
from builder.cli.types import DIRECTORY, IMAGE


@click.command(cls=Command)
@click.argument("image", type=IMAGE)
@click.argument("directory", type=DIRECTORY)
@table_options("unpack")
@click.pass_obj
def unpack(console: Console, /, image: str, directory: Path, **options: Any) -> None:
    """Write the root file system of IMAGE to DIRECTORY.

    DIRECTORY must be new or empty; it appears when it is complete, or not at all.

    Root restores everything. Others restore what they may, and are told what they could not:
    owners, devices, set-user-id bits, some extended attributes.

    \b
    Examples:
      rootfs-builder unpack oci:layout:latest rootfs/
      sudo rootfs-builder unpack image.tar /srv/guest
    """
    chosen = build_options(**options)
    with fetching_apart(image, chosen.sandbox):
        for unrestored in unpack_image(image, directory, chosen, console.listener()):
            console.notice(str(unrestored))
    console.answer(os.fsencode(directory))
