"""Dependency files, as make itself reads them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from builder.errors import UsageError
from builder.output.depfile import depfile

ODD_NAMES = [
    *(
        "plain",
        "with space",
        "dollar$sign",
        "hash#tag",
        "a:b",
        "per%cent",
        "back\\slash",
        "ü",
        "a*b?",
        "group&",
        "a|b",
        "::",
    ),
    *("a=b", "a!=touch made", "a;touch made", "$(shell touch made)b", "\\;touch made", "a\\ b", "\\%\\\\:\\#\\|"),
]


def test_the_rule_and_an_empty_rule_per_input() -> None:
    assert depfile("out.ext4", ["a", "b c"]) == b"out.ext4: \\\n  a \\\n  b\\ c\n\na:\n\nb\\ c:\n"


@pytest.mark.parametrize(
    "inputs", [["a", "b\nc"], ["a\n"], ["a\tb"], ["~root/a"], ["a "], ["a\\"], ["a\r"], ["a((b))"]]
)
def test_a_name_that_make_has_no_form_for_is_refused(inputs: list[str]) -> None:
    with pytest.raises(UsageError, match="rename it, or leave --depfile out"):
        depfile("disk", inputs)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_make_rebuilds_when_an_input_changes_and_only_then(tmp_path: Path, name: str) -> None:
    if shutil.which("make") is None:
        pytest.skip("NOT RUN: make is not installed")
    source = tmp_path / name
    source.touch()
    (tmp_path / "Makefile").write_text("disk:\n\techo made >> log\n\ttouch disk\n\n-include disk.d\n")
    (tmp_path / "disk.d").write_bytes(depfile("disk", [str(source)]))

    def make() -> int:
        subprocess.run(["make", "-s", "disk"], cwd=tmp_path, check=True, capture_output=True)
        return (tmp_path / "log").read_text().count("made")

    assert make() == 1
    assert make() == 1
    later = (tmp_path / "disk").stat().st_mtime_ns + 10**9
    os.utime(source, ns=(later, later))
    assert make() == 2
    (tmp_path / "disk").touch()
    os.utime(tmp_path / "disk", ns=(later + 10**9, later + 10**9))
    source.unlink()
    assert make() == 3, "a removed input must rebuild, not stop make"
    assert not (tmp_path / "made").exists(), "a name was run"


@pytest.mark.parametrize(("name", "other"), [("[id].js", "d.js"), ("a[!b]", "ac"), ("a*", "ab"), ("\\?\\:", "\\x\\:")])
def test_a_name_is_no_pattern_that_others_match(tmp_path: Path, name: str, other: str) -> None:
    if shutil.which("make") is None:
        pytest.skip("NOT RUN: make is not installed")
    (tmp_path / "Makefile").write_text("disk:\n\ttouch disk\n\ninclude disk.d\n")
    (tmp_path / "disk.d").write_bytes(depfile("disk", [name]))

    def outdated_by(changed: str) -> bool:
        for each in (name, other, "disk"):
            (tmp_path / each).touch()
            os.utime(tmp_path / each, ns=(0, 10**9 if each == changed else 1))
        return subprocess.run(["make", "-q", "disk"], cwd=tmp_path, check=False).returncode == 1

    assert outdated_by(name)
    assert not outdated_by(other)
