"""The list of images: which disks it asks for, whatever it is written in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from builder.batch.entries import Entry, InvalidList
from builder.batch.lines import parse_lines
from builder.batch.naming import Template, file_name
from builder.batch.tables import is_toml, parse_tables
from builder.disk import format_of
from builder.errors import BuilderError
from builder.options import BuildOptions
from builder.output.beside import metadata_path
from builder.output.checks import resolve_output
from builder.sources.reference import parse_reference


@dataclass(frozen=True, slots=True)
class Job:
    """One disk to build: line `line` of the list, or its table of that number."""

    line: int
    reference: str
    output: Path
    options: BuildOptions


def parse_list(
    text: str, name: str, directory: Path, defaults: BuildOptions, template: Template | None = None
) -> list[Job]:
    """Read a list of images: TOML, or a line for each; see `plan_jobs` for the rest. Raises InvalidList."""
    entries = parse_tables(text, name) if is_toml(text, name) else parse_lines(text, name)
    return plan_jobs(entries, name, directory, defaults, template)


def plan_jobs(
    entries: Iterable[Entry], name: str, directory: Path, defaults: BuildOptions, template: Template | None = None
) -> list[Job]:
    """Plan a job for each entry of the list `name`; disks go below `directory`.

    What an entry does not say is as in `defaults`, its output's name as in `template`. Raises InvalidList for the first
    entry that cannot be meant, and when two would write the same file, or one into what is another's, or push to the
    same tag; OutputError where the current directory is gone.
    """
    jobs: list[Job] = []
    taken: dict[Path, str] = {}
    pushed: dict[str, str] = {}
    for entry in entries:
        try:
            job = _job(entry, directory, defaults, template)
            target = _target(job)
        except BuilderError as error:
            raise InvalidList(name, entry.place, str(error)) from error
        for path in written(job):
            place = resolve_output(path)
            if (other := taken.get(place)) is not None:
                advice = "give one of them output=NAME" if path == job.output else "name another"
                raise InvalidList(name, entry.place, f"writes {path}, and so does {other}; {advice}")
        if target in pushed:
            reason = f"pushes to {target}, where only the last would stay, and so does {pushed[target]}"
            raise InvalidList(name, entry.place, f"{reason}; give each a push=docker://REGISTRY/REPO:TAG of its own")
        if target is not None:
            pushed[target] = entry.place
        taken.update((resolve_output(path), entry.place) for path in written(job))
        jobs.append(job)
    for place, here in taken.items():
        if (above := next((each for each in place.parents if each in taken), None)) is not None:
            reason = f"writes {place}, and {taken[above]} a file {above}, in which nothing can be"
            raise InvalidList(name, here, f"{reason}; name another")
    return jobs


def written(job: Job) -> list[Path]:
    """Name all files that a job writes."""
    return [job.output, *job.options.beside()]


def _target(job: Job) -> str | None:
    """Name in full the tag that a job pushes to, if it does. Raises InvalidReference."""
    if job.options.push is None:
        return None
    # Here, because it imports an HTTP client, which nobody else should wait for.
    from builder.actions.push_target import check_target

    return str(check_target(job.options.push))


def _job(entry: Entry, directory: Path, defaults: BuildOptions, template: Template | None) -> Job:
    reference = parse_reference(entry.reference)
    changes = entry.options
    # What is said for all is for those that have somebody to tell it.
    options = replace(defaults, vm=defaults.vm if "vm-config" in changes else defaults.vm.if_configured()).but(changes)
    path = directory / file_name(entry.output, reference, options, template)
    options = replace(options, format=format_of(path.name), metadata_file=options.metadata_file or metadata_path(path))
    return Job(entry.number, entry.reference, path, options)
