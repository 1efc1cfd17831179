"""What every test may count on: loud skips, and on CI no skip at all; and a place for the content of files."""

from __future__ import annotations

import gc
import os
import re
import signal
import sys
from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path

import hypothesis
import pytest
import pytest_rerunfailures
from _pytest.mark.expression import Expression

from builder.files.import_fs import import_fs
from builder.tree.spool import Spool, open_spool

# Tests know nothing of each other, nor of this user: what is to be kept, they say.
os.environ["ROOTFS_BUILDER_CACHE"] = ""
for name in ("SOURCE_DATE_EPOCH", "NO_COLOR", "FORCE_COLOR"):
    os.environ.pop(name, None)
# What dumpe2fs says of times is of the place where it is said.
os.environ["TZ"] = "UTC"
os.umask(0o022)

# Tests make file systems of their own.
import_fs()

# Grammars of international names, which no schema here has: jsonschema does without, and each worker saves two seconds.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]

# Else each test asks another process how often it has failed, and waits 40 ms for its words to be sent (Nagle's
# algorithm): that was a third of the quick suite. Only a test that takes its worker along is not tried again.
pytest_rerunfailures.HAS_PYTEST_HANDLECRASHITEM = False

# How long an example takes, or is made, says how busy the machine is.
hypothesis.settings.register_profile("busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("busy")

# Registries that run for tests, an image that takes a while, init alone, and a cluster; what a repetition leaves out;
# what tests cost; and why one was tried twice.
pytest_plugins = [
    *("support.registries", "support.slow", "support.init_machine", "support.farm"),
    *("support.repeated", "support.cost", "support.reruns"),
]

# What is marked says so itself (tests/test_structure.py).
MARKED = re.compile(rb"\bmark\.(heavy|slow|root)\b")
NEEDS_ROOT = "NOT RUN: needs root"
# Which ci/setup cannot bring.
NEEDS_KERNEL = "NOT RUN: needs a kernel with "


def pytest_configure() -> None:
    """Take signals as a program in the foreground does, also where a runner in the background has them ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage while ten thousand tests are made, nor in them ever after: that was a seventh of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import no file without a mark where `-m` asks for marked tests alone: four of five have none."""
    wanted = config.option.markexpr
    if collection_path.suffix != ".py" or not wanted or Expression.compile(wanted).evaluate(lambda *_, **__: False):
        return None
    return None if _says_marks(collection_path) else True


@cache
def _says_marks(path: Path) -> bool:
    return MARKED.search(path.read_bytes()) is not None


# Before marks are asked for with -m.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if any(map(item.get_closest_marker, ("heavy", "slow", "root"))) and not _says_marks(item.path):
            # Else it would be run nowhere: not as quick, and not as what it is, for its file is not imported then.
            raise pytest.UsageError(f"{item.nodeid}: write its mark as pytest.mark.NAME, in its file")
        if item.get_closest_marker("heavy"):
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("root") and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason=NEEDS_ROOT))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip that says NOT RUN into a failure on CI, where everything that can be is installed."""
    report = yield
    if report.outcome == "skipped" and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if reason.startswith("NOT RUN:") and not _may_skip(reason):
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid}: {reason} (CI=true: what a test needs must be there)"
    return report


def _may_skip(reason: str) -> bool:
    on_purpose = reason == NEEDS_ROOT and os.environ.get("ROOTFS_BUILDER_TEST_UNPRIVILEGED") == "1"
    return os.environ.get("CI") != "true" or on_purpose or reason.startswith(NEEDS_KERNEL)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with open_spool(tmp_path) as opened:
        yield opened
