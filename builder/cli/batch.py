"""`rootfs-builder batch`: a list of images, a directory of disks."""

from __future__ import annotations

import codecs
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import click

from builder.batch.entries import InvalidList
from builder.batch.images import Job, parse_list
from builder.batch.naming import FIELDS, Template
from builder.batch.on_cluster import run_on_cluster
from builder.batch.outputs import check_written
from builder.batch.report import summary
from builder.batch.reports import Reports
from builder.batch.run import run_batch
from builder.batch.terms import Terms
from builder.batch.verdict import Verdict, judge
from builder.cli.command import Command
from builder.cli.console import Console
from builder.cli.course import Course
from builder.cli.options import build_options, table_options
from builder.cli.types import DIRECTORY, FILE, Parsed
from builder.errors import BuilderError, UsageError
from builder.events import Progress, Stage
from builder.form import COUNT, TIMES
from builder.output.failures import failures_named
from builder.shortage import unless_short
from builder.sizes import counted
from builder.words import legible

# Nobody has so many images, and what has no end should not fill our memory.
_MAX_LIST = 64 << 20


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
@click.option(
    "--keep-going/--fail-fast",
    default=True,
    help="Build the others when one fails, or stop everything.  [default: keep-going]",
)
@click.option(
    "--retries",
    type=Parsed(TIMES.shown, TIMES.parse),
    default=0,
    metavar=TIMES.shown,
    help="Try again so often what fails and may pass: a network, a killed process.",
)
@click.option(
    "--name",
    "template",
    type=Parsed("TEMPLATE", Template),
    metavar="TEMPLATE",
    help=f"How disks are called that the list gives no output, of {', '.join(f'{{{name}}}' for name in FIELDS)}.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be built, and why, and build nothing.")
@click.option(
    "--verify", is_flag=True, help="Read disks and layers that are here, before saying that they are up to date."
)
@click.option(
    "--report",
    "reports",
    type=FILE,
    multiple=True,
    help="Write what happened to each image here: as a page to look at if it is called *.html, else as JSON.  "
    "[may be repeated]",
)
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
    keep_going: bool,
    retries: int,
    template: Template | None,
    dry_run: bool,
    verify: bool,
    reports: tuple[Path, ...],
    **options: Any,
) -> None:
    """Build a disk of every image in a list.

    LIST, a file or - for standard input, has one image a line, optionally followed by KEY=VALUE
    words that override the options given here: KEY is an option of build without its dashes
    (size=2G; yes or no for one without a value, as journal=no), or output. Words are quoted as in
    a shell, and one that begins with # begins a comment. A list called *.toml has [[image]] tables
    instead, with reference and the same keys, and perhaps [defaults] for all of them. Images are
    found from the current directory, wherever LIST is; output is a name below the output directory,
    by default told from the image's.

    One image's failure does not stop the others. Beside each disk stands its metadata, NAME.json:
    running the same list again builds only what is missing or has changed.

    \b
    Examples:
      rootfs-builder batch images.txt -o disks/ -j 4 --report batch.html
      echo 'oci:web format=erofs' | rootfs-builder batch - -o disks/
    """
    planned = parse_list(_text(list_file), list_file.name, directory, build_options(**options), template)
    if dry_run:
        if reports:
            raise UsageError("--dry-run builds nothing that a report could tell of; leave out --report")
        _foretell(console, planned, verify=verify)
        return
    with failures_named():
        directory.mkdir(parents=True, exist_ok=True)
        check_written(Path(list_file.name), planned, reports)
    course = Course(console, planned, Reports(reports))
    terms = Terms(
        finished=course.finished,
        heard=course.heard,
        retried=course.retried,
        retries=retries,
        fail_fast=not keep_going,
        timeline=course.timeline,
    )
    with course:
        left = course.judge(verify=verify, fail_fast=terms.fail_fast)
        if left and scheduler is None:
            with ThreadPoolExecutor(max_workers=jobs or os.cpu_count()) as executor:
                run_batch(left, executor, terms)
        elif left and scheduler is not None:
            run_on_cluster(left, scheduler, terms, note=console.notice, limit=jobs, insecure=insecure)
        # Before the report of the end is written, which may fail: the disks are there.
        ends = course.ends
        for outcome in ends:
            if outcome.well:
                console.answer(os.fsencode(outcome.output))
    if not all(outcome.well for outcome in ends):
        raise BuilderError(summary(ends))
    console.say(summary(ends))


def _text(list_file: BinaryIO) -> str:
    try:
        content = list_file.read(_MAX_LIST + 1)
    except OSError as error:
        raise InvalidList(list_file.name, "", f"it cannot be read: {unless_short(error).strerror}") from error
    if len(content) > _MAX_LIST:
        raise InvalidList(list_file.name, "", f"it is larger than {_MAX_LIST >> 20} MiB; name a list of images")
    # As paths are decoded, so that a list may name every file; some editors begin with a byte order mark.
    return os.fsdecode(content.removeprefix(codecs.BOM_UTF8))


def _foretell(console: Console, planned: list[Job], *, verify: bool) -> None:
    """Say of each image, in the order of the list, whether it would be built, and why."""
    listen = console.listener()
    listen(Stage(f"looking at {counted(len(planned), 'disk')}", len(planned), unit="disks"))
    verdicts: dict[int, Verdict] = {}
    for verdict in judge(planned, verify=verify):
        verdicts[verdict.job.line] = verdict
        listen(Progress(len(verdicts)))
    told = [verdicts[job.line] for job in planned]
    for verdict in told:
        console.answer(os.fsencode(f"{verdict.job.output}: {legible(_foretold(verdict))}"))
    wrong = sum(1 for verdict in told if verdict.fails)
    built = sum(1 for verdict in told if not verdict.fails and verdict.outcome is None)
    text = f"{built} to build, {len(told) - built - wrong} up to date"
    if wrong:
        raise BuilderError(f"{text}, {wrong} that cannot be built")
    console.say(text)


def _foretold(verdict: Verdict) -> str:
    if verdict.error is not None:
        return f"cannot be built: {verdict.error}"
    if verdict.outcome is None:
        return f"would be built: {verdict.reason}"
    return verdict.outcome.status if verdict.outcome.error is None else f"cannot be built: {verdict.outcome.error}"
