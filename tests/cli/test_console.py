"""Whatever way words take to the terminal, they arrive as one line of text."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

import pytest

from builder.cli.console import Console
from builder.errors import BuilderError
from builder.events import Notice, Stage

ODD = "a\x1b[2J\x9b\u202e\nb\udcff"
SHOWN = r"a\x1b[2J\x9b\u202e\nb\xff"


def fail(console: Console) -> None:
    console.verbose = True
    error = BuilderError("plain")
    error.__cause__ = ValueError(ODD)
    console.fail(error)


WAYS: dict[str, Callable[[Console], None]] = {
    "an outcome": lambda console: console.say(ODD),
    "a notice": lambda console: console.notice(ODD),
    "a failure of ours": lambda console: console.fail(BuilderError(ODD)),
    "a failure of others": lambda console: console.fail(ValueError(ODD)),
    "a cause": fail,
    "a stage": lambda console: console.listener()(Stage(ODD)),
    "a stage of one of many": lambda console: console.listener()(Stage("packing", image=ODD)),
    "a notice of a build": lambda console: console.listener()(Notice(ODD)),
    "a notice without progress": lambda console: console.notices(Notice(ODD)),
}


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("way", WAYS)
def test_words_of_images_are_legible_whichever_way_they_take(
    monkeypatch: pytest.MonkeyPatch, way: str, form: str
) -> None:
    said = io.StringIO()
    monkeypatch.setattr(sys, "stderr", said)
    console = Console()
    console.log_format = form
    WAYS[way](console)
    console.end()
    lines = said.getvalue().splitlines()
    # Of a stage, a program is told what it took, too.
    two = way == "a cause" or (form == "json" and way.startswith("a stage"))
    assert len(lines) == (2 if two else 1)
    assert lines[-1].isprintable()
    assert (SHOWN if form == "text" else SHOWN.replace("\\", "\\\\")) in lines[-1]


def test_with_v_each_cause_is_a_line_and_else_none(monkeypatch: pytest.MonkeyPatch) -> None:
    error, between = BuilderError("plain"), ValueError("why")
    error.__cause__, between.__cause__ = between, OSError("why that")
    lines = []
    for verbose in (False, True):
        said = io.StringIO()
        monkeypatch.setattr(sys, "stderr", said)
        console = Console()
        console.verbose = verbose
        console.fail(error)
        lines.append([line.removeprefix("rootfs-builder: ") for line in said.getvalue().splitlines()])
    assert lines == [["error: plain"], ["error: plain", "cause: ValueError: why", "cause: OSError: why that"]]
