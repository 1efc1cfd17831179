"""Jobs and answers as they travel: JSON of one version."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder import BuildOptions, DiskOptions
from builder.batch.images import Job
from builder.batch.messages import (
    JobRefused,
    failed_at,
    is_event,
    read_event,
    read_job,
    read_outcome,
    write_event,
    write_job,
    write_outcome,
    write_refusal,
)
from builder.batch.report import BUILT, Outcome, Part
from builder.disk.filesystem import Compression
from builder.events import Event, Notice, Progress, Stage, Step
from builder.guest.options import GuestOptions

# Names of files need not be UTF-8.
ODD = "caf\udce9"
JOB = Job(
    3,
    f"oci:{ODD}",
    Path(f"disks/{ODD}.erofs"),
    BuildOptions(
        format="erofs",
        disk=DiskOptions(free=1, compress=Compression("zstd", 5)),
        guest=GuestOptions(init="auto", cmd=("sh", "-c", "id"), env=("A=1", f"B={ODD}")),
        metadata_file=Path(ODD),
    ),
)
OUTCOME = Outcome(
    3,
    JOB.reference,
    f"{JOB.output}",
    BUILT,
    0,
    4096,
    "ab" * 32,
    "uuid",
    1.5,
    None,
    ("a\nb", ODD),
    layers=(Part("sha256:ab", 5),),
)


def test_a_job_arrives_as_it_was_sent_in_one_line_of_ascii() -> None:
    sent = write_job(JOB, f"/srv/{ODD}")
    assert sent.isascii()
    assert "\n" not in sent
    assert read_job(sent) == (JOB, f"/srv/{ODD}")


def test_only_what_is_no_default_travels() -> None:
    assert json.loads(write_job(Job(1, "oci:a", Path("a.ext4"), BuildOptions()), "/"))["options"] == {}


@pytest.mark.parametrize("event", [Stage("reading", 7), Step("syncing"), Progress(5), Notice(f"{ODD}: \x1b")])
def test_an_event_arrives_as_it_was_said(event: Event) -> None:
    assert is_event(write_event(event))
    assert read_event(write_event(event)) == event


def test_an_outcome_arrives_as_it_was() -> None:
    assert not is_event(write_outcome(OUTCOME))
    assert read_outcome(write_outcome(OUTCOME)) == OUTCOME
    assert "\n" not in write_outcome(OUTCOME)


CHANGES: dict[str, dict[str, Any]] = {
    "another version": {"builder": "0.0.1"},
    "another form": {"form": 0},
    "an unknown field": {"nice": 5},
    "a field of another type": {"line": "1"},
    "a field that is missing": {"directory": None},
    "an unknown option": {"options": {"colour": "red"}},
    "an option of another type": {"options": {"size": []}},
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_job_of_another_version_is_refused_in_one_line(what: str) -> None:
    changed = {**json.loads(write_job(JOB, "/")), **CHANGES[what]}
    with pytest.raises(JobRefused) as caught:
        read_job(json.dumps({name: value for name, value in changed.items() if value is not None}))
    assert str(caught.value).endswith("install one version everywhere")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "cos\nsystem\n(S'id'\ntR.", "[]", "{}", "3", "[" * 100_000, '{"form": 1}'])
def test_what_is_no_job_is_refused(text: str) -> None:
    with pytest.raises(JobRefused):
        read_job(text)


def test_a_refusal_is_one_at_the_other_end() -> None:
    with pytest.raises(JobRefused, match=r"^of old$"):
        read_outcome(write_refusal(JobRefused("of old")))


def test_where_a_job_failed_is_said_of_failures_alone() -> None:
    good = Outcome(3, "oci:a", "d/a.ext4", BUILT)
    assert failed_at(write_outcome(good), "there") == write_outcome(good)
    assert read_outcome(failed_at(write_outcome(replace(good, error="full")), "there")).error == "there: full"
    with pytest.raises(JobRefused, match=r"^there: other version$"):
        read_outcome(failed_at(write_refusal(JobRefused("other version")), "there"))


@pytest.mark.parametrize("text", ["", "{}", '{"outcome": {}}', '{"outcome": 3}', '{"event": "stage"}'])
def test_what_is_no_outcome_is_refused(text: str) -> None:
    with pytest.raises(JobRefused):
        read_outcome(text)


@pytest.mark.parametrize("text", ['{"event": "party"}', '{"event": "stage"}', '{"event": ["stage"], "name": ""}'])
def test_what_is_no_event_is_refused(text: str) -> None:
    with pytest.raises(JobRefused):
        read_event(text)
