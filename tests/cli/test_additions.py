"""Files of one's own on the command line and in a list of images: in the order of the words, and in clear words."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import click
import pytest
from support.additions import sources, write_image
from support.command import run_in

from builder import AddedTar, Addition, BuildOptions, Removal
from builder.additions.addition import Change
from builder.batch.entries import InvalidList
from builder.batch.images import Job, parse_list
from builder.batch.messages import read_job, write_job
from builder.cli.command import Command
from builder.cli.options import build_options, table_options
from builder.errors import UsageError
from builder.tool import find_tool


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_image(tmp_path)
    sources(tmp_path)
    return tmp_path


def build(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run_in(place, "-q", "build", "oci:image", "-o", "x.ext4", "--init", "none", *words)


def cat(disk: Path, path: str) -> bytes:
    return subprocess.run([find_tool("debugfs"), "-R", f"cat {path}", disk], check=True, capture_output=True).stdout


ORDERS = [
    (["--add", "a:/x", "--remove", "/x", "--add", "b:/x"], (Addition("a", "/x"), Removal("/x"), Addition("b", "/x"))),
    (["--remove=/x", "--size", "1G", "--add=a:/x", "--free=0"], (Removal("/x"), Addition("a", "/x"))),
    (
        ["--add-tar", "t", "--add", "a:/x", "--env", "A=1", "--add-tar", "u:/y", "--env", "B=2", "--remove", "/x"],
        (AddedTar("t"), Addition("a", "/x"), AddedTar("u", "/y"), Removal("/x")),
    ),
    (["--add", "a:/x", "--add", "a:/x"], (Addition("a", "/x"),) * 2),
    (["--add", "--remove:/x", "--", "--add"], (Addition("--remove", "/x"),)),
]


@pytest.mark.parametrize(("words", "meant"), ORDERS)
def test_the_order_of_the_line_is_kept_across_options(words: list[str], meant: tuple[Change, ...]) -> None:
    @click.command(cls=Command)
    @click.argument("image", required=False)
    @table_options("build")
    def command(image: str | None, **said: object) -> BuildOptions:
        del image
        return build_options(**said)

    options = command.main(words, standalone_mode=False)
    assert options.additions == meant
    assert options.guest.env == (("A=1", "B=2") if "--env" in words else ())


def parsed(line: str, defaults: BuildOptions | None = None) -> Job:
    (job,) = parse_list(line, "list", Path("disks"), defaults or BuildOptions())
    return job


def test_the_order_of_the_words_is_kept_in_a_list_and_by_its_jobs() -> None:
    job = parsed("oci:a add=a:/x remove=/x free=1M add='b c:/x,mode=0600' add-tar=t.tar:/y")
    meant = (Addition("a", "/x"), Removal("/x"), Addition("b c", "/x", mode=0o600), AddedTar("t.tar", "/y"))
    assert job.options.additions == meant
    assert read_job(write_job(job, "/"))[0] == job
    # A line's own take the place of those that were said for all lines, as every option does.
    defaults = BuildOptions(additions=(Removal("/all"),))
    assert parsed("oci:a", defaults).options.additions == (Removal("/all"),)
    assert parsed("oci:a remove=/x", defaults).options.additions == (Removal("/x"),)


@pytest.mark.parametrize("word", ["add=a", "add=a:/x,mode=x", "add-tar=", "remove=/", "remove=x"])
def test_what_cannot_be_meant_in_a_list_is_named_with_its_line(word: str) -> None:
    with pytest.raises(InvalidList, match="list line 2: "):
        parse_list(f"oci:a\noci:b {word}", "list", Path("disks"), BuildOptions())
    with pytest.raises(UsageError):
        parsed(f"oci:b {word}")


def test_files_of_ones_own_are_in_the_disk(place: Path) -> None:
    done = build(place, "--add", "app:/bin/", "--add", "d:/srv,owner=5:6", "--add-tar", "x.tar", "--remove", "/etc")
    assert (done.returncode, done.stdout, done.stderr) == (0, "x.ext4\n", "")
    assert cat(place / "x.ext4", "/usr/bin/app") == b"#!/bin/sh\n"
    assert cat(place / "x.ext4", "/t") == b"t"


def test_a_name_that_is_no_utf_8_is_a_name(place: Path) -> None:
    name = os.fsencode(place) + b"/caf\xe9"
    with open(name, "wb") as file:
        file.write(b"coffee")
    done = build(place, "--add", "caf\udce9:/srv/", "--metadata-file", "m.json", "--depfile", "dep")
    assert done.returncode == 0, done.stderr
    assert b"coffee" in (place / "x.ext4").read_bytes()
    assert "\\udce9" in json.dumps(json.loads((place / "m.json").read_bytes().decode())["options"]["additions"])
    assert b"caf\xe9" in (place / "dep").read_bytes()


@pytest.mark.heavy
def test_in_a_batch_one_changed_file_builds_the_disks_that_have_it(place: Path) -> None:
    lines = "oci:image output=one add=app:/app\noci:image output=two add=d:/d add=app:/app\n"

    def statuses() -> dict[str, str]:
        done = run_in(place, "batch", "-", "-o", "disks", "--init", "none", "--report", "report.json", stdin=lines)
        assert done.returncode == 0, done.stderr
        images = json.loads((place / "report.json").read_text())["images"]
        return {Path(image["output"]).stem: image["status"] for image in images}

    assert statuses() == {"one": "built", "two": "built"}
    assert statuses() == {"one": "up to date", "two": "up to date"}
    (place / "d/sub/f").write_text("changed")
    assert statuses() == {"one": "up to date", "two": "built"}
    assert cat(place / "disks/two.ext4", "/d/sub/f") == b"changed"


BAD: dict[str, tuple[list[str], int, str]] = {
    "no such source": (["--add", "nope:/x"], 1, "--add nope:/x: there is no 'nope' on this machine; check the path"),
    "no such tar": (["--add-tar", "nope"], 1, "there is no 'nope' on this machine"),
    "no tar": (["--add-tar", "app"], 3, "--add-tar app: "),
    "nothing to remove": (["--remove", "/nope"], 1, "there is no '/nope' in the image; check the path"),
    "the root": (["--remove", "/"], 2, "'--remove': the root cannot be removed"),
    "no target": (["--add", "app"], 2, "'--add': 'app' names no absolute TARGET"),
    "a bad mode": (["--add", "app:/x,mode=888"], 2, "'888' is no mode"),
    "a bad owner": (["--add", "app:/x,owner=root"], 2, "'root' is no owner"),
    "traversal": (["--add", "app:/../x"], 2, "'/../x' has a '..' component"),
    "a directory": (["--add", "app:/bin"], 1, "'/bin' is a directory in the image; write '/bin/' to put it in there"),
    "a limit": (["--add", "d:/d", "--max-entries", "4"], 3, "--add d:/d: more than 4 entries; raise --max-entries"),
    "a line end for make": (["--add", "a\nb:/x", "--depfile", "dep"], 2, "make knows no file 'a\\nb'"),
    "a line end": (["--add", "\n:/x"], 1, "there is no '\\n' on this machine"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_wrong_is_said_in_one_line_with_its_status_and_leaves_nothing(place: Path, what: str) -> None:
    words, status, said = BAD[what]
    (place / "a\nb").touch()
    before = sorted(os.listdir(place))
    done = build(place, *words)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (status, "", 1), done.stderr
    assert said in done.stderr
    assert sorted(os.listdir(place)) == before
