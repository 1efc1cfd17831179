"""`rootfs-builder store pull` and `store add`: copy images into the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from builder.actions.fetching import comes_from_afar, fetching_apart
from builder.actions.pull import pull as pull_image
from builder.actions.pull_confined import confined_to_pulls
from builder.cli.command import Command
from builder.cli.console import Console
from builder.cli.options import (
    all_of,
    build_options,
    registry_options,
    store_option_below,
    table_option,
)
from builder.cli.types import IMAGE, Parsed
from builder.errors import UsageError
from builder.image.name import ImageName
from builder.image.platform import Platform
from builder.sources.reference import parse_reference


def _platforms(text: str) -> list[Platform]:
    return [Platform.parse(each) for each in text.split(",")]


_copying = all_of(
    click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=IMAGE),
    store_option_below,
    click.option(
        "--name",
        type=Parsed("name", ImageName.parse),
        help="What to call the image; told from the reference by default.",
    ),
    click.option(
        "--platform",
        "platforms",
        multiple=True,
        type=Parsed("os/arch[/variant]", _platforms),
        help="Which images of an index, as linux/amd64,linux/arm64; by default this machine's.",
    ),
    click.option("--all-platforms", is_flag=True, help="All images of an index."),
    table_option("max-size"),
    table_option("tmpdir", help="Where compressed archives are unpacked; by default in TMPDIR."),
    table_option("sandbox"),
)


@click.command(cls=Command)
@_copying
@registry_options
@table_option("verify-key")
@click.pass_obj
def pull(console: Console, /, **options: Any) -> None:
    """Copy images from anywhere into the store.

    Blobs that are there already are not copied again, and what an interrupted pull left is
    used. An index stays one: the images for further platforms can be pulled later. Prints the
    full name of each image; without --name it is that of the registry, archive or podman's
    store, or localhost/DIR:TAG for oci:DIR:TAG.

    \b
    Examples:
      rootfs-builder store pull oci:layout:latest --name localhost/app:1.0
      rootfs-builder store pull app.tar --all-platforms
    """
    _copy(console, **options)


@click.command(cls=Command)
@_copying
@click.pass_obj
def add(console: Console, /, **options: Any) -> None:
    """Copy images of this machine into the store.

    As `store pull`, but never over a network.
    """
    for reference in options["images"]:
        transport = parse_reference(reference).transport
        if transport is not None and transport.remote:
            raise UsageError(f"{reference} is not on this machine; fetch it with rootfs-builder store pull")
    _copy(console, **options)


def _copy(
    console: Console,
    *,
    images: Sequence[str],
    name: ImageName | None,
    platforms: Sequence[Sequence[Platform]],
    all_platforms: bool,
    **options: Any,
) -> None:
    if name is not None and len(images) > 1:
        raise UsageError("--name is for one image; pull the others with a command of their own")
    if platforms and all_platforms:
        raise UsageError("--platform and --all-platforms contradict each other; leave one out")
    chosen = build_options(**options)
    wanted = None if all_platforms else [platform for each in platforms for platform in each]
    with fetching_apart(next(filter(comes_from_afar, images), None), chosen.sandbox):
        listen = console.listener()
        with confined_to_pulls(images, chosen, listen) as pulls:
            for position, reference in enumerate(images):
                pulled = pull_image(
                    reference,
                    chosen.access,
                    name=name,
                    platforms=wanted,
                    limits=chosen.limits,
                    tmpdir=pulls.tmpdir,
                    source=pulls.source(position),
                    listen=listen,
                )
                console.answer(str(pulled.name).encode())
