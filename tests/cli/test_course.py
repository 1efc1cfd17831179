"""What is told of a batch as it goes, where telling it fails."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from builder import BuildOptions
from builder.batch.images import Job
from builder.batch.report import BUILT, without_disk
from builder.batch.reports import Reports
from builder.cli.console import Console
from builder.cli.course import Course
from builder.errors import OutputError


def test_a_report_that_cannot_be_written_for_a_while_stops_no_build(tmp_path: Path) -> None:
    place, away = tmp_path / "reports", tmp_path / "away"
    place.mkdir()
    jobs = [Job(number, "oci:a", Path(f"{number}.ext4"), BuildOptions()) for number in (1, 2)]
    console = Console()
    course = Course(console, jobs, Reports([place / "r.json"]))
    with course:
        place.rename(away)
        course.finished(replace(without_disk(jobs[0], BUILT), size=1))
        away.rename(place)
        course.finished(replace(without_disk(jobs[1], BUILT), size=1))
        assert (place / "r.json").read_text().count('"built",') == 2
        place.rename(away)
        with pytest.raises(OutputError, match="reports"):
            course.__exit__(None, None, None)
        away.rename(place)
    # Its signs of life would come up in what other tests of this process look at.
    console.end()
