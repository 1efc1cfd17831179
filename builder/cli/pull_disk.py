"""`rootfs-builder pull`: a disk from a registry."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from builder.actions.fetching import fetching_apart
from builder.actions.pull_disk import pull_disk
from builder.cli.command import Command
from builder.cli.console import Console
from builder.cli.options import build_options, registry_options, table_option
from builder.cli.types import FILE, IMAGE
from builder.sizes import human_size


@click.command(cls=Command)
@click.argument("reference", metavar="docker://REGISTRY/REPO[:TAG][@DIGEST]", type=IMAGE)
@click.option("-o", "--output", type=FILE, required=True, help="The disk to write.")
@table_option("metadata-file", help="Where the disk's metadata go; by default to OUTPUT.json.")
@table_option("provenance", help="Write the disk's provenance here, which was pushed with it.")
@table_option("sbom", help="Write which packages are on the disk here, as was pushed with it.")
@table_option("force", help="Replace what is there, though it is no disk, or no metadata of one.")
@table_option("no-wait")
@table_option("sandbox")
@table_option("max-size", help="Refuse a disk of more bytes.")
@registry_options
@table_option("verify-key")
@click.pass_obj
def pull(console: Console, /, reference: str, output: Path, **options: Any) -> None:
    """Write a disk that was pushed to a registry.

    The disk is the one that was pushed, byte for byte, its digest is verified, and it appears when
    it is complete. Its metadata come with it, so that it boots as it would where it was built.
    Provenance and bill of materials come when they are asked for; nobody has signed them, and
    --verify-key is about the disk and its metadata. For images, see `build` and `store pull`.

    \b
    Examples:
      rootfs-builder pull docker://registry.example/disks/web:1.0 -o web.ext4
    """
    console.image = os.fspath(output)
    chosen = build_options(**options)
    with fetching_apart(reference, chosen.sandbox):
        pulled = pull_disk(
            reference,
            output,
            chosen.access,
            metadata_file=chosen.metadata_file,
            provenance=chosen.provenance,
            sbom=chosen.sbom,
            limits=chosen.limits,
            force=chosen.force,
            wait=chosen.wait,
            sandbox=chosen.sandbox,
            listen=console.listener(),
        )
    facts = f"{pulled.format}, {human_size(pulled.size)}"
    console.say(f"{output}: {facts}" if pulled.fetched else f"{output}: up to date")
    console.answer(os.fsencode(output))
