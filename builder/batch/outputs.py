"""Where a batch may write: never in the place of what it reads, asked before any image is built."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
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
    """Refuse what would be written over the list, a file of an image, or a report, and a report that cannot be written.

    Raises UsageError, OutputError, OutputDenied.
    """
    # Each place is looked up once: lists may be long.
    places = {resolve_output(path): path for job in jobs for path in written(job)}
    # The list may be standard input.
    read = [list_file] if list_file.exists() else []
    shared = [places[place] for place in map(resolve_output, [*read, *reports]) if place in places]
    check_apart([*shared, *reports], map(str, read))
    check_distinct([*shared, *reports])
    for report in reports:
        check_side_output(report)
        places[resolve_output(report)] = report
    # What cannot be looked at is for its build to explain.
    there = {place: path for place, path in places.items() if os.path.exists(path)}
    if inputs := dict.fromkeys(_files_near(there, jobs)):
        check_apart(there.values(), inputs)


def _files_near(outputs: Iterable[Path], jobs: Sequence[Job]) -> Iterator[str]:
    """Name the files of the images that outputs are in, or in the place of."""
    near = {place for output in outputs for place in (output, *output.parents)}
    with closing(Shared()) as shared:
        for job in jobs if near else ():
            reference = parse_reference(job.reference)
            if not reference.names_a_file or reference.is_url or resolve_output(reference.place) not in near:
                continue
            if os.path.isfile(reference.place):
                yield reference.place
            else:
                yield from _read_from(job, shared)


def _read_from(job: Job, shared: Shared) -> list[str]:
    # What is wrong with an image is for its build to say.
    with suppress(BuilderError), closing(open_image(job.reference, job.options, None, ignore, shared)) as source:
        check_layers(source, find_image(source, job.reference, job.options.platform))
        return source.inputs()
    return []
