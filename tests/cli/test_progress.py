"""Progress: one calm line of a terminal that leaves no trace, and elsewhere lines and signs of life."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from rich.console import Console as RichConsole
from support.command import ENVIRONMENT, argv
from support.images import Spec, layout
from support.tars import file, tar
from support.terminal import run_on_terminal

from builder.cli.builds import Builds, Moment
from builder.cli.drawing import builds, line
from builder.cli.stages import JsonLines, Plain
from builder.events import Meter, Progress, Stage

MIB = 1 << 20
READING = Stage("reading layer 1 of 3 (sha256:0123456789ab)", 300 * MIB)

# What a build says, slowly enough to be seen; the library that draws is there from the first stage on.
_BUILD = """
import sys, time
from builder.cli.console import Console
from builder.cli.streams import open_standard_streams
from builder.events import Notice, Progress, Stage

open_standard_streams()
console = Console()
listen = console.listener()
listen(Stage("reading layer 1 of 3 (sha256:0123456789ab)", 300 << 20))
while "rich.live" not in sys.modules or console._display._console is None:
    time.sleep(0.01)
for done in (60, 120, 290):
    listen(Progress(done << 20))
    time.sleep(0.3)
listen(Notice("a name with \\x1b[2J and \\u202e in it"))
listen(Stage("packing ext4"))
time.sleep(0.5)
console.answer(b"disk.ext4")
"""


@pytest.fixture
def image(tmp_path: Path) -> str:
    layer = tar(*(file(f"{n}", b"content" * 1000, mode=0o755) for n in range(200)))
    layout(tmp_path / "image", Spec((layer,), config={"Cmd": ["/0"]}))
    return f"oci:{tmp_path}/image"


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_terminal_shows_one_line_at_a_time_and_the_result_in_the_end(columns: int) -> None:
    status, terminal = run_on_terminal([sys.executable, "-c", _BUILD], columns, ENVIRONMENT)
    notice = r"rootfs-builder: notice: a name with \x1b[2J and \u202e in it"
    lasting = [notice[start : start + columns] for start in range(0, len(notice), columns)]
    assert (status, terminal.shown(), terminal.cursor_is_visible) == (0, [*lasting, "disk.ext4"], True)
    passing = [[each for each in screen if each not in (*lasting, "disk.ext4")] for screen in terminal.screens]
    assert max(map(len, passing)) == 1
    drawn = [each for screen in passing for each in screen]
    assert max(map(len, drawn)) < columns
    assert {each.split()[0] for each in drawn} == {"reading", "packing"}
    assert all(("━" in each or "╸" in each) == (columns > 40) for each in drawn)


# As the command does; the signal comes while something is drawn.
_INTERRUPTED = """
import signal, sys, time
from builder.cli.console import Console
from builder.cli.streams import open_standard_streams
from builder.events import Stage
from builder.signals import end_on_signals

end_on_signals()
open_standard_streams()
console = Console()
try:
    console.listener()(Stage("packing ext4"))
    while "rich.live" not in sys.modules or console._display._console is None:
        time.sleep(0.01)
    time.sleep(0.5)
    signal.raise_signal(signal.SIGINT)
finally:
    console.end()
"""


def test_an_interrupt_leaves_a_terminal_as_it_was() -> None:
    status, terminal = run_on_terminal([sys.executable, "-c", _INTERRUPTED], 80, ENVIRONMENT)
    assert ["packing"] in [[line.split()[0] for line in screen] for screen in terminal.screens]
    assert (status, terminal.shown(), terminal.cursor_is_visible) == (130, [], True)


# Three builds of a batch: one goes on, one ends well, one fails.
_BATCH = """
import sys, time
from builder.cli.console import Console
from builder.cli.streams import open_standard_streams
from builder.errors import BuilderError
from builder.events import End, Progress, Stage

open_standard_streams()
console = Console()
listen = console.listener()
listen(Stage("building 3 disks", 3, unit="disks"))
while "rich.live" not in sys.modules or console._display._console is None:
    time.sleep(0.01)
for number in range(3):
    listen(Stage("reading layer 1 of 3 (sha256:0123456789ab)", 300 << 20, f"disks/a-rather-long-name-{number}.ext4"))
    listen(Progress(120 << 20, f"disks/a-rather-long-name-{number}.ext4"))
time.sleep(0.5)
console.fail(BuilderError("[1/3] disks/a-rather-long-name-0.ext4: failed: no"))
listen(End("failed", "disks/a-rather-long-name-0.ext4"))
listen(Progress(1))
time.sleep(0.5)
# What is late is not drawn.
listen(Stage("packing ext4", image="disks/a-rather-long-name-0.ext4"))
listen(Stage("packing ext4", image="disks/a-rather-long-name-1.ext4"))
time.sleep(0.5)
console.answer(b"done")
"""


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_batch_on_a_terminal_has_a_line_for_each_build_and_one_for_all_and_failures_stay(columns: int) -> None:
    status, terminal = run_on_terminal([sys.executable, "-c", _BATCH], columns, ENVIRONMENT)
    failed = "rootfs-builder: error: [1/3] disks/a-rather-long-name-0.ext4: failed: no"
    lasting = [failed[start : start + columns] for start in range(0, len(failed), columns)]
    assert (status, terminal.shown(), terminal.cursor_is_visible) == (0, [*lasting, "done"], True)
    passing = [[each for each in screen if each not in (*lasting, "done")] for screen in terminal.screens]
    assert max(len(each) for screen in passing for each in screen) < columns
    heads = [[each.split()[0].rstrip("…") for each in screen] for screen in passing]
    assert all("a-rather-long-name-0.ext4".startswith(each[0]) for each in heads if len(each) == 4)
    assert 4 in map(len, heads)
    # In the end two go on, and the third is in nobody's way.
    last = next(screen for screen in reversed(passing) if len(screen) == 3)
    assert [each.split()[1] for each in last[:2]] == ["packing", "reading"]
    assert last[2].startswith("building 3 disks")


def test_of_more_builds_than_a_terminal_has_lines_the_number_is_shown() -> None:
    known = Builds()
    for number in range(9):
        known.hear(Stage("packing ext4"), f"disks/{number}.ext4")
    output = io.StringIO()
    for each in builds(known.moments(0.0), 80, 4):
        RichConsole(file=output, width=80).print(each)
    assert [each.split()[0] for each in output.getvalue().splitlines()] == ["0.ext4", "1.ext4", "2.ext4", "…"]
    assert output.getvalue().splitlines()[-1] == "… and 6 more"


LINES = [
    (40, READING, 120 * MIB, "reading layer 1 of 3 (sha256:012…   40%"),
    (60, READING, 120 * MIB, "reading layer 1 of 3 (sha256:012…  ━━╸      120.0/300.0 MiB"),
    # Nothing moves while figures grow.
    (80, READING, 3 * MIB, "reading layer 1 of 3 (sha2…                3.0/300.0 MiB     1.5 MiB/s     3:18"),
    (80, READING, 120 * MIB, "reading layer 1 of 3 (sha2…  ━━━━        120.0/300.0 MiB    60.0 MiB/s     0:03"),
    (80, READING, 299 * MIB, "reading layer 1 of 3 (sha2…  ━━━━━━━━━╸  299.0/300.0 MiB   149.5 MiB/s     0:00"),
    (40, Stage("packing ext4"), 0, "packing ext4                       0:02"),
    (80, Stage("packing ext4"), 0, "packing ext4                 ━━━━━━━━━━                                    0:02"),
    (
        80,
        Stage("building 300 disks", 300, unit="disks"),
        120,
        "building 300 disks             ━━━━        120/300 disks                   0:02",
    ),
]


@pytest.mark.parametrize(("columns", "stage", "done", "shown"), LINES)
def test_a_line_has_what_there_is_room_for(columns: int, stage: Stage, done: int, shown: str) -> None:
    output = io.StringIO()
    # Without colours, what is not done of a bar is not to be seen.
    RichConsole(file=output, width=columns).print(line(Moment(stage, done, 2.0), columns))
    assert output.getvalue() == f"{shown}\n"
    assert len(shown) < columns


def test_on_a_wide_screen_a_line_is_no_wider_than_people_read() -> None:
    output = io.StringIO()
    RichConsole(file=output, width=200).print(line(Moment(READING, 120 * MIB, 2.0), 200))
    assert output.getvalue().split() == [
        *("reading", "layer", "1", "of", "3", "(sha256:0123456789ab)"),
        *("━━━━━━━━━━━━", "120.0/300.0", "MiB", "60.0", "MiB/s", "0:03"),
    ]
    assert len(output.getvalue()) <= 120


@pytest.mark.heavy
def test_a_build_that_is_done_at_once_draws_nothing_and_one_without_a_terminal_imports_nothing(
    tmp_path: Path, image: str
) -> None:
    words = ["build", image, "-o", str(tmp_path / "d.ext4"), "--force"]
    status, terminal = run_on_terminal(argv(*words), 200, ENVIRONMENT)
    assert (status, [each.split(",")[0] for each in terminal.shown()]) == (
        0,
        [f"{tmp_path}/d.ext4: ext4", f"{tmp_path}/d.ext4"],
    )
    code = (
        "import atexit, sys; atexit.register(lambda: print('rich' in sys.modules)); from builder.__main__ import main"
    )
    command = [sys.executable, "-c", f"{code}; main()", *words]
    assert subprocess.run(command, env=ENVIRONMENT, capture_output=True, check=True).stdout.endswith(b"False\n")


@pytest.mark.heavy
@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_terminal_that_can_do_nothing_gets_lines(tmp_path: Path, image: str, term: str) -> None:
    command = ["env", f"TERM={term}", *argv("build", image, "-o", tmp_path / "d.ext4")]
    status, terminal = run_on_terminal(command, 200, ENVIRONMENT)
    assert (status, terminal.shown()[1]) == (0, "packing ext4")


class Lines:
    """Standard error that keeps lines, and lets one wait for them."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.many = threading.Event()

    def write(self, text: str) -> int:
        self.lines += text.splitlines()
        if len(self.lines) > 3:
            self.many.set()
        return len(text)


@pytest.mark.parametrize("kind", [Plain, JsonLines])
def test_a_stage_that_takes_long_gives_signs_of_life(
    monkeypatch: pytest.MonkeyPatch, kind: type[Plain] | type[JsonLines]
) -> None:
    said = Lines()
    monkeypatch.setattr(sys, "stderr", said)
    display = kind(interval=0.01)
    display.hear(Stage("packing ext4"))
    assert said.many.wait(30)
    display.end()
    count = len(said.lines)
    if kind is Plain:
        assert said.lines[0] == "packing ext4"
        # How many seconds those are says how busy the machine is.
        assert all(re.fullmatch(r"still packing ext4, \d+ s", each) for each in said.lines[1:])
    else:
        events = [json.loads(each) for each in said.lines]
        assert [event["event"] for event in events[:3]] == ["stage", "heartbeat", "heartbeat"]
        assert events[1].pop("time").endswith("Z")
        assert events[1].pop("seconds") >= 0
        assert events[1] == {"event": "heartbeat", "name": "packing ext4", "image": None}
    # Once ended, it is silent.
    assert not display._heart._thread.is_alive()
    assert len(said.lines) == count


def test_the_stages_of_many_builds_are_not_what_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    said = Lines()
    monkeypatch.setattr(sys, "stderr", said)
    display = Plain(interval=0.01)
    display.hear(Stage("building 2 disks", 2, unit="disks"))
    display.hear(Stage("packing ext4", image="a.ext4"))
    assert said.many.wait(30)
    display.end()
    others = [each for each in said.lines if not each.startswith("still building 2 disks, ")]
    assert others == ["building 2 disks", "a.ext4: packing ext4"]


def test_progress_is_told_sparingly_however_often_it_is_reported() -> None:
    events: list[object] = []
    meter = Meter(events.append)
    for done in range(100_000):
        meter(done)
    assert events[0] == Progress(0)
    assert len(events) < 1000
