"""A batch that is killed at any moment: the same command goes on, and does nothing twice that was finished."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support.command import ENVIRONMENT, argv
from support.images import Spec, layout
from support.processes import builders, wait_until
from support.tars import file, tar

pytestmark = pytest.mark.slow

NAMES = [f"i{number}" for number in range(7)]
MOMENTS = range(1, 11)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Images, and their disks as an undisturbed batch makes them."""
    layer = tar(*(file(f"{n}", b"content" * 1000, mode=0o755) for n in range(20)))
    layout(tmp_path / "images", *(Spec((layer,), tag=name, config={"Cmd": [f"/{name}"]}) for name in NAMES))
    (tmp_path / "list").write_text("".join(f"oci:images:{name} output={name}\n" for name in NAMES))
    assert batch(tmp_path, "undisturbed").wait() == 0
    return tmp_path


def batch(place: Path, disks: str) -> subprocess.Popen[str]:
    words = argv("batch", "list", "-o", disks, "-j", 2, "--report", "report.json", "--progress", "plain")
    environment = {**ENVIRONMENT, "BATCH_OF": str(place)}
    output = subprocess.DEVNULL if disks == "undisturbed" else subprocess.PIPE
    return subprocess.Popen(words, cwd=place, env=environment, stdout=subprocess.DEVNULL, stderr=output, text=True)


def kill(place: Path, process: subprocess.Popen[str], *, builds_too: bool) -> None:
    """Kill a batch, and its builds with it, or leave them to find out."""
    process.kill()
    if builds_too:
        for pid in builders(f"BATCH_OF={place}"):
            # What was only ready to build has gone by itself.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    process.wait()
    wait_until(lambda: builders(f"BATCH_OF={place}") == [])


def reported(place: Path) -> Iterator[str]:
    for image in json.loads((place / "report.json").read_text())["images"]:
        if image["status"] in ("built", "up to date"):
            yield Path(image["output"]).name


def test_a_batch_that_is_killed_again_and_again_comes_to_its_end(place: Path) -> None:
    finished: dict[str, int] = {}
    for moment in MOMENTS:
        with batch(place, "disks") as process:
            assert process.stderr is not None
            # So many words of builds later than the last time.
            for _ in zip(range(moment), (line for line in process.stderr if "ext4: " in line), strict=False):
                pass
            kill(place, process, builds_too=moment % 2 == 1)
        inodes = {path.name: path.stat().st_ino for path in (place / "disks").glob("*.ext4")}
        # What was finished is as it was, and what the report has is there.
        assert inodes.items() >= finished.items()
        assert set(inodes) >= set(reported(place))
        finished = {name: inodes[name] for name in {*finished, *reported(place)}}
    with batch(place, "disks") as process:
        process.communicate()
    assert process.returncode == 0
    assert {path.name: path.stat().st_ino for path in (place / "disks").glob("*.ext4")}.items() >= finished.items()
    # No litter, and the very disks of the one that nobody disturbed.
    both = [{path.name: path.read_bytes() for path in (place / name).iterdir()} for name in ("disks", "undisturbed")]
    assert both[0] == both[1]
    assert sorted(reported(place)) == sorted(f"{name}.ext4" for name in NAMES)
