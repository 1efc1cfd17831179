"""`rootfs-builder batch`: a list of images, a directory of disks."""

from __future__ import annotations

import codecs
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import click

from builder.batch.images import Job, parse_list
from builder.batch.on_cluster import run_on_cluster
from builder.batch.report import CANCELLED, FAILED, UNFINISHED, Outcome, render_report, summary, without_disk
from builder.batch.run import run_batch
from builder.cli.command import Command
from builder.cli.console import Console
from builder.cli.options import build_options, table_options
from builder.cli.sizes import human_size
from builder.cli.types import DIRECTORY, FILE, Parsed
from builder.errors import BuilderError
from builder.events import Event, Notice, Progress, Stage
from builder.option import COUNT
from builder.output.beside import metadata_path
from builder.output.checks import check_distinct, check_side_output, resolve_output
from builder.output.failures import failures_named
from builder.output.publish import write_atomically


@click.command(cls=Command)
@click.argument("list_file", metavar="LIST", type=click.File("rb"))
@click.option(
    "-o", "--output", "directory", type=DIRECTORY, required=True, help="Where the disks go; made if it is missing."
)
@click.option(
    "-j",
    "--jobs",
    type=Parsed(COUNT.shown, COUNT.parse),
    help="Builds at a time; by default one per core, and on a cluster as many as its workers take.",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS|FILE",
    help="Build on a Dask cluster: tcp://HOST:PORT, tls://HOST:PORT, or its scheduler file.",
)
@click.option("--insecure", is_flag=True, help="Let the scheduler be tcp:// of another machine, on a trusted network.")
@click.option("--fail-fast", is_flag=True, help="Stop everything at the first failure.")
@click.option("--report", type=FILE, help="Write what happened to each image here, as JSON.")
@table_options("batch")
@click.pass_obj
def batch(
    console: Console,
    /,
    list_file: BinaryIO,
    directory: Path,
    jobs: int | None,
    scheduler: str | None,
    insecure: bool,
    fail_fast: bool,
    report: Path | None,
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
    outcomes = {job.line: without_disk(job, UNFINISHED) for job in planned}
    ended = 0

    def write_report() -> None:
        if report:
            with failures_named():
                write_atomically(resolve_output(report), render_report(list(outcomes.values())))

    listen = console.listener()
    listen(Stage(f"building {len(planned)} disk{'' if len(planned) == 1 else 's'}", len(planned), unit="disks"))

    def heard(job: Job, event: Event) -> None:
        # Of many images at once the end of each is enough, unless asked for more.
        if console.progress != "auto" or isinstance(event, Notice):
            listen(replace(event, image=str(job.output)))

    def finished(outcome: Outcome) -> None:
        nonlocal ended
        ended += 1
        outcomes[outcome.line] = outcome
        # Each time, so that there is one of what was done even if we are killed.
        write_report()
        size = "" if outcome.size is None else f", {human_size(outcome.size)}"
        error = "" if outcome.error is None else f": {outcome.error}"
        line = f"[{ended}/{len(planned)}] {outcome.output}: {outcome.status}{size}{error}"
        if outcome.status == FAILED:
            console.fail(BuilderError(line))
        elif console.shows_progress:
            console.say(line)
        listen(Progress(ended))

    # The one of an earlier run would mislead.
    write_report()
    try:
        if scheduler is None:
            with ThreadPoolExecutor(max_workers=jobs or os.cpu_count()) as executor:
                run_batch(planned, executor, fail_fast=fail_fast, finished=finished, heard=heard)
        else:
            run_on_cluster(
                planned,
                scheduler,
                fail_fast=fail_fast,
                finished=finished,
                heard=heard,
                note=console.notice,
                limit=jobs,
                insecure=insecure,
            )
    except BaseException:
        outcomes |= {
            job.line: without_disk(job, CANCELLED) for job in planned if outcomes[job.line].status == UNFINISHED
        }
        write_report()
        raise
    ends = list(outcomes.values())
    for outcome in ends:
        if outcome.well:
            console.answer(os.fsencode(outcome.output))
    if not all(outcome.well for outcome in ends):
        raise BuilderError(summary(ends))
    console.say(summary(ends))


def _check_report(report: Path, others: list[Path]) -> None:
    check_side_output(report)
    for other in others:
        check_distinct([report, other])


def _written(planned: list[Job]) -> list[Path]:
    return [path for job in planned for path in (job.output, metadata_path(job.output))]
