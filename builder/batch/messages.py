"""What crosses between a batch and the processes that build for it: JSON, an object a line, and never code.

Both ends have to be the same version: an option that one of them does not know would vanish in silence.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from builder.batch.images import Job
from builder.batch.report import Outcome
from builder.errors import BuilderError, UsageError
from builder.events import Event, Notice, Progress, Stage, Step
from builder.option import Written
from builder.options import OPTIONS, BuildOptions
from builder.version import VERSION
from builder.words import quoted

# Counts up with every change of what is sent, also between releases.
FORM = 4
_ADVICE = "install one version everywhere"
T = TypeVar("T")
_EVENTS: dict[str, type[Event]] = {kind.__name__.lower(): kind for kind in (Stage, Step, Progress, Notice)}


class JobRefused(BuilderError):
    """A job that this version cannot build as it was meant."""


class _Head(msgspec.Struct):
    """What every version says first."""

    builder: str = "another program"
    form: int = 0


class _Ended(msgspec.Struct, forbid_unknown_fields=True):
    outcome: Outcome


class _Job(msgspec.Struct, forbid_unknown_fields=True):
    builder: str
    form: int
    directory: str
    line: int
    reference: str
    output: str
    options: dict[str, Written]


def write_job(job: Job, directory: str) -> str:
    """Write a job for another process; `directory`, absolute, is where its relative names are looked up."""
    changed = {
        name: entry.write(job.options.value(entry))
        for name, entry in OPTIONS.items()
        if entry.name == entry.first and job.options.value(entry) != entry.default
    }
    return _line(
        {
            "builder": VERSION,
            "form": FORM,
            "directory": directory,
            "line": job.line,
            "reference": job.reference,
            "output": str(job.output),
            "options": changed,
        }
    )


def read_job(text: str) -> tuple[Job, str]:
    """Read what `write_job` wrote. Raises JobRefused, in one line, for what another version wrote."""
    written = _parsed(text)
    head = _converted(written, _Head)
    here = (VERSION, FORM)
    if (head.builder, head.form) != here:
        raise JobRefused(
            f"this job is of rootfs-builder {head.builder} (form {head.form}), "
            f"and here is {here[0]} (form {here[1]}); {_ADVICE}"
        )
    sent = _converted(written, _Job)
    unknown = sorted(set(sent.options) - set(OPTIONS))
    if unknown:
        raise JobRefused(f"this job has the option {quoted(unknown[0])}, which is unknown here; {_ADVICE}")
    single = sorted(name for name, value in sent.options.items() if isinstance(value, list) != OPTIONS[name].repeats)
    if single:
        raise JobRefused(f"this job has the option {quoted(single[0])} in another form; {_ADVICE}")
    try:
        options = BuildOptions().but({name: OPTIONS[name].reread(value) for name, value in sent.options.items()})
    except UsageError as error:
        raise JobRefused(f"this job has an option that cannot be read ({error}); {_ADVICE}") from error
    return Job(sent.line, sent.reference, Path(sent.output), options), sent.directory


def line_of(message: str) -> int:
    """Tell from which line of the list a job comes, that `write_job` has written."""
    return int(json.loads(message)["line"])


def write_event(event: Event) -> str:
    """Write an event: its kind, in lower case, as `event`, and its own words."""
    return _line({"event": type(event).__name__.lower(), **asdict(event)})


def write_outcome(outcome: Outcome) -> str:
    """Write the end of a job."""
    return _line({"outcome": asdict(outcome)})


def write_refusal(error: JobRefused) -> str:
    """Write that a job was refused, and why."""
    return _line({"refused": str(error)})


def failed_at(text: str, where: str) -> str:
    """Add `where` a job ran to what `write_outcome` or `write_refusal` wrote, if the job failed."""
    try:
        outcome = read_outcome(text)
    except JobRefused as error:
        return write_refusal(JobRefused(f"{where}: {error}"))
    return text if outcome.error is None else write_outcome(replace(outcome, error=f"{where}: {outcome.error}"))


def is_event(text: str) -> bool:
    """Tell a line that `write_event` wrote from the other answers."""
    written = _parsed(text)
    return isinstance(written, dict) and "event" in written


def is_progress(text: str) -> bool:
    """Tell an event that says how far a build is from the others."""
    return bool(_parsed(text).get("event") == "progress")


def read_event(text: str) -> Event:
    """Read what `write_event` wrote. Raises JobRefused for what another version wrote."""
    written = _parsed(text)
    kind = _EVENTS.get(str(written.pop("event")))
    if kind is None:
        raise JobRefused(f"what came is no event of this version; {_ADVICE}")
    return _converted(written, kind)


def read_outcome(text: str) -> Outcome:
    """Read what `write_outcome` wrote. Raises JobRefused with what `write_refusal` wrote."""
    written = _parsed(text)
    if isinstance(written, dict) and "refused" in written:
        raise JobRefused(str(written["refused"]))
    return _converted(written, _Ended).outcome


def _line(document: dict[str, Any]) -> str:
    # Not msgspec's encoder: names of files may hold bytes that are no UTF-8, which JSON escapes as Python has them.
    return json.dumps(document)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise JobRefused(f"what came is no JSON; {_ADVICE}") from None


def _converted(document: Any, kind: type[T]) -> T:
    try:
        return msgspec.convert(document, kind)
    # It looks at no key with half a character in it.
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise JobRefused(f"what came is not of this version ({error}); {_ADVICE}") from error
