"""What happened to each image of a batch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from textwrap import indent

from builder.batch.images import Job
from builder.words import without_password

BUILT = "built"
UP_TO_DATE = "up to date"
FAILED = "failed"
CANCELLED = "cancelled"
UNFINISHED = "unfinished"


@dataclass(frozen=True, slots=True)
class Part:
    """A layer of an image as it travels: the digest of its blob, and how many bytes that has."""

    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one job: `status` is one of this module's words, `exit_status` what `build` would have exited with.

    `reference` has no password, for reports are handed on. `size`, in bytes, `sha256`, in hex, and `uuid` are the
    disk's, `pushed` is its name in a registry, by digest; `seconds` is what the job took; `error` says in one line why
    it failed; `notices` are what the user should know all the same. `reason` says why there was something to build;
    `source` is the digest of the image's manifest, where it has one, and `layers` are its layers, the bottom one first.
    `begun` and `ended` are in seconds since the batch began, and `worker`, from 1, tells apart what went on side by
    side; none of them is there where no process had to build. `attempts` are how often one did; `passing` says of a
    failure that the same may go well another time.
    """

    line: int
    reference: str
    output: str
    status: str
    exit_status: int = 0
    size: int | None = None
    sha256: str | None = None
    uuid: str | None = None
    seconds: float | None = None
    error: str | None = None
    notices: tuple[str, ...] = ()
    reason: str | None = None
    source: str | None = None
    layers: tuple[Part, ...] = ()
    begun: float | None = None
    ended: float | None = None
    worker: int | None = None
    attempts: int = 0
    passing: bool = False
    pushed: str | None = None

    @property
    def well(self) -> bool:
        """Whether the disk is there now."""
        return self.status in (BUILT, UP_TO_DATE)


def without_disk(job: Job, status: str, error: str | None = None) -> Outcome:
    """Say of a job that it came to nothing."""
    return Outcome(job.line, without_password(job.reference), str(job.output), status, 1, error=error)


def summary(outcomes: Sequence[Outcome]) -> str:
    """Count outcomes in one line: `3 built, 1 up to date, 1 failed`."""
    return ", ".join(f"{count} {status}" for status, count in _counts(outcomes).items() if count) or (
        "the list names no image"
    )


def render_report(outcomes: Sequence[Outcome]) -> bytes:
    """Render the report: a JSON object with the counts and one object per image, in the order of the list."""
    report = json.dumps({"summary": _counts(outcomes), "images": []}, indent=2)
    if outcomes:
        report = report.replace("[]", "[\n" + ",\n".join(map(_rendered, outcomes)) + "\n  ]")
    return report.encode() + b"\n"


# A report is written after each image, and all but one outcome in it are as they were.
@lru_cache(maxsize=1 << 16)
def _rendered(outcome: Outcome) -> str:
    return indent(json.dumps(asdict(outcome), indent=2), "    ")


def _counts(outcomes: Sequence[Outcome]) -> dict[str, int]:
    counts = dict.fromkeys((BUILT, UP_TO_DATE, FAILED, CANCELLED), 0)
    for outcome in outcomes:
        counts[outcome.status] = counts.get(outcome.status, 0) + 1
    return counts
