"""What the tests cost: `pytest --cost` says it in seconds of the processor, which others on the machine hardly change.

Those are the test's own and those of all that it starts. A test that has no mark and takes more than CEILING is named
at the end: make it cheaper (in process, a smaller image, a fixture of wider scope), or mark it heavy.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator

import pytest

CEILING = 0.3  # seconds

_TICKS = os.sysconf("SC_CLK_TCK")
_begun = pytest.StashKey[float]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cost", action="store_true", help="Say what the tests take of the processor.")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("cost"):
        config.pluginmanager.register(Costs())


class Costs:
    """Measures tests in the process that runs them, and adds up in the one that hears of all."""

    def __init__(self) -> None:
        self._all = 0.0
        self._tests = 0
        self._unmarked: list[tuple[float, str]] = []

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, bool | None, bool | None]:
        item.stash[_begun] = _taken()
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.when == "teardown":
            vars(report)["cost"] = _taken() - item.stash[_begun]
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        cost = vars(report).get("cost")
        if cost is not None:
            self._tests += 1
            self._all += cost
            if cost > CEILING and not {"slow", "root"}.intersection(report.keywords):
                self._unmarked.append((cost, report.nodeid))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("cost")
        terminalreporter.line(f"{self._tests} tests: {self._all:.0f} s of the processor")
        for cost, nodeid in sorted(self._unmarked, reverse=True):
            terminalreporter.line(f"{cost:.2f} s without a mark, over {CEILING} s: {nodeid}")


def _taken() -> float:
    """Seconds of the processor that this process has taken, with its children, those that still run too."""
    return sum(os.times()[:4]) + sum(_running())


def _running() -> Iterator[float]:
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        pids = file.read().split()
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        yield sum(map(int, fields[11:15])) / _TICKS
