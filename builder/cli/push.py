"""`rootfs-builder push`: a disk into a registry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from builder.actions.push import push as push_disk
from builder.cli.command import Command
from builder.cli.console import Console
from builder.cli.options import all_of, build_options, table_option
from builder.cli.sizes import human_size
from builder.cli.types import FILE, IMAGE


@click.command(cls=Command)
@click.argument("disk", type=FILE)
@click.argument("reference", metavar="docker://REGISTRY/REPO:TAG", type=IMAGE)
@click.option("--metadata", type=FILE, help="Metadata of DISK, which go with it; by default DISK.json, if there.")
@click.option("--force", is_flag=True, help="Replace what has that tag, though it is no disk.")
@all_of(table_option("authfile"), table_option("cert-dir"), table_option("tls-verify"))
@table_option("tmpdir", help="Where the disk is compressed; by default in TMPDIR.")
@click.pass_obj
def push(console: Console, /, disk: Path, reference: str, metadata: Path | None, force: bool, **options: Any) -> None:
    """Put DISK into a registry, as an OCI artifact.

    What is there already is not sent again, and the same disk has the same digest. Prints the
    full name with the digest, by which `pull` and `boot` take just this disk.

    \b
    Examples:
      rootfs-builder push web.ext4 docker://registry.example/disks/web:1.0
    """
    chosen = build_options(**options)
    pushed = push_disk(
        disk,
        reference,
        chosen.access,
        metadata=metadata,
        tmpdir=chosen.tmpdir,
        force=force,
        listen=console.listener(),
    )
    console.say(f"{pushed.name}: {human_size(pushed.sent)} sent" if pushed.sent else f"{pushed.name}: nothing to send")
    console.answer(f"{pushed.name.repository}@{pushed.digest}".encode())
