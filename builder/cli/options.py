"""Command-line options that several commands share, and how they become BuildOptions."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from builder.cli.types import DIRECTORY, FILE, Parsed
from builder.disk import FILESYSTEMS
from builder.disk.filesystem import parse_compression
from builder.errors import UsageError
from builder.image.platform import Platform
from builder.limits import Limits
from builder.options import BuildOptions, parse_count, parse_format, parse_size, parse_uuid
from builder.registry import RegistryAccess
from builder.sources.access import Access

F = TypeVar("F", bound=Callable[..., Any])
STORE_VARIABLE = "ROOTFS_BUILDER_STORE"
SIZE = Parsed("size", parse_size)
COUNT = Parsed("number", parse_count)


def all_of(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Make one decorator of several, which are shown in this order."""

    def decorate(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


_STORE_HELP = "Root of the image store, a path or URL.  [default: the user's]"
store_option = click.option("--store", envvar=STORE_VARIABLE, help=_STORE_HELP)
# For commands below one that has the option as well: what is said there comes before the environment.
store_option_below = click.option("--store", help=_STORE_HELP)

registry_options = all_of(
    click.option("--authfile", type=FILE, help="Credentials for registries, as podman and docker keep them."),
    click.option("--cert-dir", type=DIRECTORY, help="Certificates for registries: *.crt, *.cert with *.key."),
    click.option(
        "--tls-verify",
        type=bool,
        default=True,
        show_default=True,
        help="Check the certificates of registries; without, plain HTTP will do as well.",
    ),
)

progress_option = click.option(
    "--progress",
    type=click.Choice(["auto", "plain", "json", "none"]),
    default="auto",
    show_default=True,
    help="How to show progress on standard error.",
)

max_size_option = click.option("--max-size", type=SIZE, help="Refuse an image that unpacks to more.  [default: 256G]")

reading_options = all_of(
    store_option,
    click.option("--no-store", "keep", flag_value=False, default=True, help="Keep nothing that a registry sends."),
    registry_options,
    click.option(
        "--platform",
        type=Parsed("os/arch[/variant]", Platform.parse),
        help="Which image of an index; by default this machine's.",
    ),
    max_size_option,
    click.option("--max-entries", type=COUNT, help="Refuse an image of more entries.  [default: 4000000]"),
    click.option("--max-ratio", type=COUNT, help="Refuse a layer that is packed tighter.  [default: 2000]"),
    click.option("--workdir", type=DIRECTORY, help="Where temporary files go.  [default: beside the output]"),
    progress_option,
)

disk_options = all_of(
    click.option(
        "--format",
        type=Parsed("format", parse_format),
        metavar="|".join(FILESYSTEMS),
        help="Told from the output's name by default.",
    ),
    click.option("--size", type=SIZE, help="Size of the disk, as 512M or 2G; computed by default."),
    click.option("--free", type=SIZE, default="0", help="Free space to leave on the disk, as 64M (ext4)."),
    click.option("--inodes", type=COUNT, help="Inodes of the disk in all (ext4)."),
    click.option("--journal/--no-journal", default=True, help="With or without a journal (ext4).  [default: with]"),
    click.option("--label", default="", help="Volume label."),
    click.option("--uuid", type=Parsed("uuid", parse_uuid), help="UUID; derived from the content by default."),
    click.option(
        "--compress",
        type=Parsed("algorithm[:level]", parse_compression),
        help="lz4, lz4hc, lzma, deflate or zstd, as lz4hc:12, if mkfs.erofs has it (erofs).",
    ),
    click.option("--dedupe", is_flag=True, help="Store equal data once (erofs)."),
    click.option("--fragments", is_flag=True, help="Pack the tails of files together (erofs)."),
)


def build_options(
    *,
    max_size: int | None,
    max_entries: int | None,
    max_ratio: int | None,
    store: str | None,
    keep: bool,
    authfile: Path | None,
    cert_dir: Path | None,
    tls_verify: bool,
    **others: Any,
) -> BuildOptions:
    """Gather parsed options; limits that were not given keep their defaults."""
    given = {"max_size": max_size, "max_entries": max_entries, "max_ratio": max_ratio}
    if max_ratio is not None and max_ratio < Limits().max_ratio:
        # Who wants less than the default means it for layers of every size.
        given["ratio_floor"] = 1 << 20
    registry = RegistryAccess(authfile, cert_dir, tls_verify)
    limits = Limits(**{name: value for name, value in given.items() if value is not None})
    access = Access(store=store, keep=keep, registry=registry)
    return BuildOptions(limits=limits, access=access, source_date_epoch=source_date_epoch(), **others)


def source_date_epoch() -> int | None:
    """Read SOURCE_DATE_EPOCH (reproducible-builds.org/specs/source-date-epoch): seconds since 1970, if set."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return None
    # More than eighteen digits are no time that anything can hold.
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise UsageError(f"SOURCE_DATE_EPOCH is {text!r}, which is no number of seconds; unset it or set it to one")
    return int(text)
