"""The report of a batch: one JSON document, however often it is written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import count as seconds
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest

from builder.batch import report, reports
from builder.batch.report import BUILT, FAILED, Outcome, Part, render_report
from builder.batch.reports import Reports

OUTCOMES = [
    Outcome(1, "oci:a", "disks/a\udcff.ext4", BUILT, size=1, layers=(Part("sha256:1", 5), Part("sha256:2", 6))),
    Outcome(2, "oci:b[]", "disks/b.ext4", FAILED, 3, error="line\u2028 break", notices=("one", "two")),
]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_report_is_laid_out_as_one_document(count: int) -> None:
    outcomes = OUTCOMES[:count]
    written = render_report(outcomes)
    document = json.loads(written)
    assert document["images"] == json.loads(json.dumps([asdict(outcome) for outcome in outcomes]))
    assert written == json.dumps(document, indent=2).encode() + b"\n"


def test_an_outcome_that_is_as_it_was_is_not_rendered_again() -> None:
    render_report(OUTCOMES)
    with patch.object(report, "asdict", wraps=asdict) as rendered:
        changed = [replace(OUTCOMES[0], seconds=0.25), OUTCOMES[1]]
        assert json.loads(render_report(changed))["images"][0]["seconds"] == 0.25
    rendered.assert_called_once_with(changed[0])


@pytest.mark.parametrize(("few", "written"), [(2, [1, 2, 2, 2, 2]), (1, [1, 1, 1, 2, 2])])
def test_a_long_report_is_written_now_and_then_and_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few: int, written: Sequence[int]
) -> None:
    """Each look at the clock is a second later, so to write takes one, and twenty have to go by."""
    clock = seconds()
    monkeypatch.setattr(reports, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    monkeypatch.setattr(reports, "_FEW", few)
    place = tmp_path / "report.json"
    writer = Reports([place])
    seen = []
    for number, last in ((1, False), (2, False), (2, False), (2, True), (2, False)):
        writer.write(OUTCOMES[:number], last=last)
        seen.append(len(json.loads(place.read_text())["images"]))
    assert seen == written
