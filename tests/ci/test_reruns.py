"""Who tries tests twice holds none of them up, and says why."""

from __future__ import annotations

from io import StringIO

import pytest
from _pytest.terminal import TerminalReporter
from support.reruns import pytest_terminal_summary


def test_no_process_is_asked_how_often_a_test_has_failed(pytestconfig: pytest.Config) -> None:
    # 40 ms for each (tests/conftest.py).
    assert not hasattr(getattr(pytestconfig, "failures_db", None), "sock")


def test_what_failed_at_first_is_said_with_the_reason(pytestconfig: pytest.Config) -> None:
    said = StringIO()
    reporter = TerminalReporter(pytestconfig, said)
    report = pytest.TestReport("a.py::test_b", ("a.py", 1, "test_b"), {}, "passed", "E  assert 1 == 2", "call")
    vars(report)["outcome"] = "rerun"
    reporter.stats["rerun"] = [report]
    pytest_terminal_summary(reporter)
    assert said.getvalue().splitlines()[-1] == "E  assert 1 == 2"
    assert "failed at first: a.py::test_b" in said.getvalue()
