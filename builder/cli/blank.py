"""`rootfs-builder blank`: an empty disk for what a guest writes."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import UUID

import click

from builder.actions.blank import blank as make_blank
from builder.cli.command import Command
from builder.cli.console import Console
from builder.cli.options import table_option
from builder.cli.types import FILE
from builder.sizes import human_size


@click.command(cls=Command)
@click.option("-o", "--output", type=FILE, required=True, help="The disk to write: NAME.ext4.")
@table_option("size", required=True, help="Size of the disk, as 512M or 2G, in whole blocks of 4096 bytes.")
@table_option("label", default="")
@table_option("uuid", help="UUID; derived from size and label by default.")
@table_option("force", help="Replace what is there, and lose what a guest wrote to it.")
@table_option("no-wait")
@click.pass_obj
def blank(
    console: Console, /, output: Path, size: int, label: str, uuid: UUID | None, force: bool, no_wait: bool
) -> None:
    """Make an empty ext4 disk for a guest's writes.

    `boot --data`, or rb.data= on the kernel command line, puts it over a read-only root, which then
    keeps its state. The same size and label give the same bytes; what is empty takes no room here. A
    file that exists stays as it is: it may hold what a guest wrote.

    \b
    Examples:
      rootfs-builder blank -o data.ext4 --size 2G
      rootfs-builder boot web.erofs --data data.ext4
    """
    made = make_blank(output, size, label=label, uuid=uuid, force=force, wait=not no_wait, listen=console.listener())
    facts = f"ext4, {human_size(made.disk.size)}, empty, UUID {made.disk.uuid}"
    console.say(f"{output}: {facts}" if made.built else f"{output}: up to date")
    console.answer(os.fsencode(output))
