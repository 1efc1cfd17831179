"""Manual pages say what `--help` says, of every command, and formatters take them without a complaint."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest
from manual import pages

from builder.cli.main import cli
from builder.options import OPTIONS

DATE = "2026-11-29"


@pytest.fixture(scope="module")
def manual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("man")
    for name, page in pages(cli, "rootfs-builder", "1.2.3", DATE).items():
        (folder / name).write_text(page)
    return folder


def formatted(page: Path) -> str:
    """What `man` shows, 80 columns wide; anything that it warns of is an error."""
    if shutil.which("man") is None:
        pytest.skip("NOT RUN: man is not installed")
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "MANWIDTH": "80", "MAN_KEEP_FORMATTING": ""}
    done = subprocess.run(
        ["man", "--warnings", "-l", page], env=environment, check=True, capture_output=True, text=True
    )
    assert done.stderr == ""
    return re.sub(r"\x1b\[[0-9;]*m|.\x08", "", done.stdout)


def commands(command: click.Command, name: str) -> dict[str, click.Command]:
    """A command and all below it, by the names of their pages."""
    found = {f"{name}.1": command}
    for sub, below in command.commands.items() if isinstance(command, click.Group) else ():
        found |= commands(below, f"{name}-{sub}")
    return found


COMMANDS = commands(cli, "rootfs-builder")


def test_there_is_a_page_of_every_command(manual: Path) -> None:
    assert sorted(os.listdir(manual)) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_page_says_what_help_says(manual: Path, name: str) -> None:
    said = " ".join(formatted(manual / name).replace("-\n", "-").split())
    assert said.startswith(f"{name[:-2].upper()}(1) User Commands {name[:-2].upper()}(1) NAME {name[:-2]} - ")
    command = COMMANDS[name]
    context = click.Context(command, info_name=command.name)
    missing = [option for each in command.get_params(context) for option in each.opts if option.startswith("-")]
    assert [option for option in missing if option not in said] == []
    examples = (command.help or "").partition("Examples:\n")[2].split("\n")
    assert [line.strip() for line in examples if " ".join(line.split()) not in said] == []


def test_options_stand_under_the_headings_of_help(manual: Path) -> None:
    lines = formatted(manual / "rootfs-builder-build.1").splitlines()
    for group in dict.fromkeys([*(entry.group.title for entry in OPTIONS.values()), "Messages"]):
        assert f"   {group}" in lines
    assert [line for line in lines if line.startswith("       --size")] != []


def test_the_other_formatter_finds_no_fault_in_any_page(manual: Path) -> None:
    if shutil.which("mandoc") is None:
        pytest.skip("NOT RUN: mandoc is not installed")
    argv = ["mandoc", "-T", "lint", "-W", "warning", *map(str, sorted(manual.iterdir()))]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_every_character_means_itself(tmp_path: Path) -> None:
    odd = [".TH is no request", "'br", r"a\fBb \n \\", "--two --dashes", '"quoted"', "`x` ^ ~ … ü", ".", "%"]
    text = "Say it.\n\n\b\nExamples:\n" + "\n".join(f"  {line}" for line in odd)
    command = click.Command("odd", help=text, params=[click.Option(["--out"], help=r"As \fB, or 'this'.")])
    (page,) = pages(command, "odd", "1", DATE).items()
    (tmp_path / page[0]).write_text(page[1])
    lines = [line.strip() for line in formatted(tmp_path / page[0]).splitlines()]
    begin = lines.index("EXAMPLES") + 1
    assert lines[begin : begin + len(odd)] == odd
    assert r"As \fB, or 'this'." in lines
