"""The process that fetches, where whoever started the build left it odd things."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from builder.sandbox import landlock

NEEDS = "NOT RUN: needs a kernel with Landlock and seccomp: Linux 6.12 or later, with landlock among its lsm="

IGNORED = """
import signal
from builder.actions.fetching import fetching_apart
from builder.registry.fetcher import running_fetcher
from builder.sandbox.owned import own_process

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
own_process()
with fetching_apart("docker://127.0.0.1:1/none", "auto"):
    print(running_fetcher() is not None)
print("ended")
"""


@pytest.mark.skipif(landlock.version() < landlock.MOVES_KNOWN, reason=NEEDS)
def test_its_end_is_no_error_where_ended_processes_are_taken_away_unasked(python: Callable[..., str]) -> None:
    assert python(IGNORED).split() == ["True", "ended"]


# What there is room for is two ends of a socket: what is forked gets no further.
NO_ROOM = """
import os, resource
from builder.actions.fetching import fetching_apart
from builder.sandbox.owned import own_process

own_process()
with fetching_apart("docker://127.0.0.1:1/none", "auto"):
    pass
next_one = os.open("/dev/null", os.O_RDONLY)
os.close(next_one)
os.dup2(1, 2)
resource.setrlimit(resource.RLIMIT_NOFILE, (next_one + 2, next_one + 2))
with fetching_apart("docker://127.0.0.1:1/none", "auto"):
    pass
print("ended")
"""


@pytest.mark.skipif(landlock.version() < landlock.MOVES_KNOWN, reason=NEEDS)
def test_what_a_machine_lacks_is_left_to_who_is_served_to_say(python: Callable[..., str]) -> None:
    assert python(NO_ROOM) == "ended\n"


GONE = """
import os, sys
from builder.actions.fetching import fetching_apart
from builder.events import ignore
from builder.registry import RegistryAccess
from builder.registry.fetcher import running_fetcher
from builder.sandbox.owned import own_process

own_process()
os.chdir(sys.argv[1])
os.rmdir(sys.argv[1])
with fetching_apart("docker://127.0.0.1:1/none", "auto"):
    print(running_fetcher().open("127.0.0.1:1", "none", RegistryAccess(), ignore).where)
"""


@pytest.mark.skipif(landlock.version() < landlock.MOVES_KNOWN, reason=NEEDS)
def test_a_current_directory_that_is_gone_keeps_nobody_from_fetching(
    python: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "gone").mkdir()
    assert python(GONE, str(tmp_path / "gone")) == "127.0.0.1:1/none\n"
