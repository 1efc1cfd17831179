"""`rootfs-builder push`: a disk into a registry."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from builder.actions.push import push as push_disk
from builder.cli.command import Command
from builder.cli.console import Console
from builder.cli.options import build_options, registry_options, table_option
from builder.cli.types import FILE, IMAGE
from builder.sizes import human_size


@click.command(cls=Command)
@click.argument("disk", type=FILE)
@click.argument("reference", metavar="docker://REGISTRY/REPO:TAG", type=IMAGE)
@click.option(
    "--as",
    "form",
    type=click.Choice(("artifact", "containerdisk", "erofs")),
    default="artifact",
    show_default=True,
    help="An artifact, an image that KubeVirt boots, or one with the disk for its layer.",
)
@click.option("--metadata", type=FILE, help="Metadata of DISK, which go with it; by default DISK.json, if there.")
@table_option("provenance", help="Provenance of DISK, to refer to it; by default DISK.intoto.json, if there.")
@table_option("sbom", help="Bill of materials of DISK, to refer to it; by default DISK.cdx.json, if there.")
@click.option("--force", is_flag=True, help="Replace what has that tag, though it is no disk.")
@registry_options
@table_option("tmpdir", help="Where the disk is compressed; by default in TMPDIR.")
@table_option("sandbox")
@click.pass_obj
def push(
    console: Console, /, disk: Path, reference: str, form: str, metadata: Path | None, force: bool, **options: Any
) -> None:
    """Put DISK into a registry, as an OCI artifact.

    What is there already is not sent again, and the same disk has the same digest. Prints the
    full name with the digest, by which `pull` and `boot` take just this disk. --as containerdisk
    makes an image with /disk/disk.img; --as erofs one whose layer is the disk, which has to be an
    erofs. Both want the metadata of the disk. Provenance and bill of materials, as `build` writes
    them, are attached to it, for `oras discover` and others to find.

    \b
    Examples:
      rootfs-builder push web.ext4 docker://registry.example/disks/web:1.0
      rootfs-builder push web.erofs docker://host.example/web:1 --as erofs
    """
    console.image = os.fspath(disk)
    chosen = build_options(**options)
    pushed = push_disk(
        disk,
        reference,
        chosen.access,
        form=form,
        metadata=metadata,
        provenance=chosen.provenance,
        sbom=chosen.sbom,
        tmpdir=chosen.tmpdir,
        force=force,
        sandbox=chosen.sandbox,
        listen=console.listener(),
    )
    console.say(f"{pushed.name}: {human_size(pushed.sent)} sent" if pushed.sent else f"{pushed.name}: nothing to send")
    console.answer(f"{pushed.name.repository}@{pushed.digest}".encode())
