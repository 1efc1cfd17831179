"""`rootfs-builder batch`: a list of images, a directory of disks."""

from __future__ import annotations

import codecs
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import click

from builder.batch.images import Job, metadata_path, parse_list
from builder.batch.report import CANCELLED, FAILED, Outcome, render_report, summary
from builder.batch.run import run_batch
from builder.cli.console import Console, human_size
from builder.cli.options import GroupedCommand, build_options, progress_option, table_options
from builder.cli.types import DIRECTORY, FILE
from builder.errors import BuilderError
from builder.output.failures import failures_named
from builder.output.publish import check_distinct, check_side_output, resolve_output, write_atomically


@click.command(cls=GroupedCommand)
@click.argument("list_file", metavar="LIST", type=click.File("rb"))
@click.option(
    "-o", "--output", "directory", type=DIRECTORY, required=True, help="Where the disks go; made if it is missing."
)
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=1),
    default=os.cpu_count,
    help="Builds at a time; by default one per core.",
)
@click.option("--fail-fast", is_flag=True, help="Stop everything at the first failure.")
@click.option("--report", type=FILE, help="Write what happened to each image here, as JSON.")
@progress_option
@table_options("batch")
@click.pass_obj
def batch(
    console: Console,
    /,
    list_file: BinaryIO,
    directory: Path,
    jobs: int,
    fail_fast: bool,
    report: Path | None,
    progress: str,
    **options: Any,
) -> None:
    """Build a disk of every image in a list.

    LIST, a file or - for standard input, has one image a line, optionally followed by KEY=VALUE
    words that override the options given here: KEY is an option below without its dashes (size=2G;
    yes or no for one without a value, as journal=no), or output. Words are quoted as in a shell;
    from # on is a comment. Images are found from the current directory, wherever LIST is;
    output is a name below the output directory, by default told from the image's.

    One image's failure does not stop the others. Beside each disk stands its metadata, NAME.json:
    running the same list again builds only what is missing or has changed.

    \b
    Examples:
      rootfs-builder batch images.txt -o disks/ -j 4
      echo 'oci:web format=erofs' | rootfs-builder batch - -o disks/
    """
    # As paths are decoded, so that a list may name every file; some editors begin with a byte order mark.
    text = os.fsdecode(list_file.read().removeprefix(codecs.BOM_UTF8))
    planned = parse_list(text, list_file.name, directory, build_options(**options))
    with failures_named():
        directory.mkdir(parents=True, exist_ok=True)
        if report:
            _check_report(report, [Path(list_file.name), *_written(planned)])
    ended: dict[int, Outcome] = {}

    def finished(outcome: Outcome) -> None:
        ended[outcome.line] = outcome
        size = "" if outcome.size is None else f", {human_size(outcome.size)}"
        error = "" if outcome.error is None else f": {outcome.error}"
        line = f"[{len(ended)}/{len(planned)}] {outcome.output}: {outcome.status}{size}{error}"
        if outcome.status == FAILED:
            console.fail(BuilderError(line))
        elif progress != "none":
            console.say(line)

    try:
        with ThreadPoolExecutor(max_workers=jobs) as executor:
            run_batch(planned, executor, fail_fast=fail_fast, finished=finished)
    finally:
        # An interrupted batch reports as well: the report of an earlier run would mislead.
        outcomes = [ended.get(job.line) or _cancelled(job) for job in planned]
        if report:
            with failures_named():
                write_atomically(resolve_output(report), render_report(outcomes))
    for outcome in outcomes:
        if outcome.well:
            console.answer(os.fsencode(outcome.output))
    if not all(outcome.well for outcome in outcomes):
        raise BuilderError(summary(outcomes))
    console.say(summary(outcomes))


def _check_report(report: Path, others: list[Path]) -> None:
    check_side_output(report)
    for other in others:
        check_distinct([report, other])


def _written(planned: list[Job]) -> list[Path]:
    return [path for job in planned for path in (job.output, metadata_path(job.output))]


def _cancelled(job: Job) -> Outcome:
    return Outcome(job.line, job.reference, str(job.output), CANCELLED, 1)
