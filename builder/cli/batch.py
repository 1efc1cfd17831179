"""`rootfs-builder batch`: a list of images, a directory of disks."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TextIO

import click

from builder.batch.images import parse_list
from builder.batch.report import Outcome, render_report, summary
from builder.batch.run import run_batch
from builder.cli.console import Console, human_size
from builder.cli.options import build_options, disk_options, reading_options
from builder.cli.types import DIRECTORY, FILE
from builder.errors import BuilderError
from builder.output.publish import check_side_output, write_atomically


@click.command()
@click.argument("list_file", metavar="LIST", type=click.File("r"))
@click.option("-o", "--output", "directory", type=DIRECTORY, required=True, help="Where the disks go.")
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=1),
    default=os.cpu_count,
    help="Builds at a time; by default one per core.",
)
@click.option("--fail-fast", is_flag=True, help="Stop everything at the first failure.")
@click.option("--report", type=FILE, help="Write what happened to each image here, as JSON.")
@click.option("--force", is_flag=True, help="Build disks that are up to date, too.")
@disk_options
@reading_options
@click.pass_obj
def batch(
    console: Console,
    /,
    list_file: TextIO,
    directory: Path,
    jobs: int,
    fail_fast: bool,
    report: Path | None,
    progress: str,
    **options: Any,
) -> None:
    """Build a disk of every image in LIST, a file or - for standard input.

    LIST has one image a line, optionally followed by KEY=VALUE words that override the options
    given here: output, platform, format, size, free, inodes, journal, label, uuid, compress,
    dedupe, fragments. Everything from # on is a comment. One image's failure does not stop the
    others; running the same list again builds only what is missing or has changed.

    \b
    Examples:
      rootfs-builder batch images.txt -o disks/ -j 4
      echo 'oci:layout:latest output=web.erofs compress=lz4' | rootfs-builder batch - -o disks/
    """
    planned = parse_list(list_file.read(), list_file.name, directory, build_options(**options))
    if report:
        check_side_output(report)
    ended = 0

    def finished(outcome: Outcome) -> None:
        nonlocal ended
        ended += 1
        size = "" if outcome.size is None else f", {human_size(outcome.size)}"
        error = "" if outcome.error is None else f": {outcome.error}"
        if progress != "none":
            console.say(f"[{ended}/{len(planned)}] {outcome.output}: {outcome.status}{size}{error}")

    with ThreadPoolExecutor(max_workers=jobs) as executor:
        outcomes = run_batch(planned, executor, fail_fast=fail_fast, finished=finished)
    if report:
        write_atomically(report, render_report(outcomes))
    for outcome in outcomes:
        if outcome.well:
            click.echo(outcome.output)
    if not all(outcome.well for outcome in outcomes):
        raise BuilderError(summary(outcomes))
    console.say(summary(outcomes))
