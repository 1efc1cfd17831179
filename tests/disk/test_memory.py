"""A build holds the tree in memory, and little more: some 400 bytes for each entry, and attributes of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support import tars
from support.command import ENVIRONMENT, argv
from support.images import Spec, layout

pytestmark = pytest.mark.slow

ENTRIES = 60_000
# What Python and its libraries take, and what is in flight.
BASE = 55 << 20
PER_ENTRY = 400
ATTRIBUTE = 600

# The largest of a command and of what it starts, in bytes. It has a process of its own, for a new program has had as
# much memory as the one that started it.
MEASURE = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(status, usage.ru_maxrss * 1024)
"""


def file(number: int) -> bytes:
    return tars.file(name(number), b"%d" % number)


def directory(number: int) -> bytes:
    return tars.directory(name(number))


def labelled(number: int) -> bytes:
    # More than an inode of ext4 has room for: each takes a block of the disk, and in memory no more than an entry.
    return tars.file(name(number), xattrs={"user.unique": b"%0150d" % number})


def name(number: int) -> str:
    return f"usr/share/directory-{number // 100}/the-name-of-a-file-{number}"


@pytest.fixture(scope="module", params=[file, directory, labelled])
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image with one kind of entries."""
    place = tmp_path_factory.mktemp(request.param.__name__)
    layout(place, Spec((tars.tar(*map(request.param, range(ENTRIES))),), compression="none"))
    return place


@pytest.mark.parametrize("words", [["--format=ext4"], ["--format=erofs", "--compress=lz4"]])
def test_memory_grows_with_the_entries_as_promised(tmp_path: Path, image: Path, words: list[str]) -> None:
    command = argv("-q", "build", f"oci:{image}", "-o", tmp_path / "disk", "--no-check", *words)
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE, *command], env=ENVIRONMENT, capture_output=True, text=True
    )
    status, peak = measured.stdout.splitlines()[-1].split()
    assert (status, measured.stderr) == ("0", "")
    own = ATTRIBUTE if image.name.startswith(labelled.__name__) else 0
    assert int(peak) < BASE + ENTRIES * (PER_ENTRY + own)
