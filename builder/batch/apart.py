"""Where a batch may write: never in the place of what it reads, asked before any image is built."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

from builder.actions.opening import open_image
from builder.batch.images import Job, written
from builder.errors import BuilderError
from builder.events import ignore
from builder.output.checks import check_apart, check_distinct, check_side_output, resolve_output
from builder.sources.reference import parse_reference
from builder.sources.resolve import check_layers, find_image
from builder.sources.shared import Shared


def check_written(list_file: Path, jobs: Sequence[Job], reports: Sequence[Path]) -> None:
    """Refuse what would be written over the list, and a report that cannot be written, or would be over anything else.

    What a job writes over its own image is for its build to refuse. Raises UsageError, OutputError, OutputDenied.
    """
    outputs = [path for job in jobs for path in written(job)]
    # It may be standard input.
    read = [list_file] if list_file.exists() else []
    check_apart(outputs, map(str, read))
    check_distinct([*read, *outputs, *reports])
    for report in reports:
        check_side_output(report)
        if report.exists():
            check_apart([report], _files_near(resolve_output(report), jobs))


def _files_near(report: Path, jobs: Sequence[Job]) -> Iterator[str]:
    """Name the files of the images that a report is in, or that are where it is to be."""
    with closing(Shared()) as shared:
        for job in jobs:
            reference = parse_reference(job.reference)
            if not reference.names_a_file or reference.is_url:
                continue
            place = resolve_output(reference.place)
            if place == report:
                yield reference.place
            elif place in report.parents:
                yield from _read_from(job, shared)


def _read_from(job: Job, shared: Shared) -> list[str]:
    # What is wrong with an image is for its build to say.
    with suppress(BuilderError), closing(open_image(job.reference, job.options, None, ignore, shared)) as source:
        check_layers(source, find_image(source, job.reference, job.options.platform))
        return source.inputs()
    return []
