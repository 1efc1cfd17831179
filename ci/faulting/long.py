"""What is long and large: figures, and whether anything leaks or is wrong at the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from support.images import Spec, layout
from support.tars import directory, file, sparse_pax, symlink, tar

ROOT = Path(__file__).resolve().parents[2]

# By a process of its own: what this one holds counts for what it starts.
_MEASURE = """
import json, os, subprocess, sys, time
begun = time.monotonic()
process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
seconds = time.monotonic() - begun
print(json.dumps([os.waitstatus_to_exitcode(status), seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024]))
"""

# Holes are more than a layer may unpack to by itself.
_LARGE = ("--max-ratio", "1000000000")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one command took: seconds of the clock and of the processor, and its largest process's memory in MiB."""

    status: int
    seconds: float
    processor: float
    memory: float
    said: str


def measured(words: list[str], place: Path) -> Cost:
    """Run the command and measure it, with all that it starts."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(place / "cache")}
    environment.pop("LD_PRELOAD", None)
    process = subprocess.Popen(
        [sys.executable, "-c", _MEASURE, sys.executable, "-m", "builder", "-q", *words],
        cwd=place,
        env={**environment, "TMPDIR": str(place)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        stdout, stderr = process.communicate()
    except BaseException:
        # Not only the one that measures: what it measures would go on for minutes.
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate()
        raise
    status, seconds, processor, memory = json.loads(stdout)
    return Cost(status, seconds, processor, memory, stderr.strip())


def say(what: str, cost: Cost) -> bool:
    """Print a line of figures; tell whether the command ended well."""
    print(
        f"{what:<44} {cost.seconds:>7.1f} s {cost.processor:>7.1f} s of processor {cost.memory:>7.0f} MiB"
        + (f"  status {cost.status}: {cost.said[-300:]}" if cost.status else ""),
        flush=True,
    )
    return cost.status == 0


def build_all(what: str, place: Path, reference: str) -> bool:
    """Build both formats of an image, and have the disks verified."""
    well = True
    for name in ("ext4", "erofs"):
        disk = place / f"disk.{name}"
        words = ["build", reference, "-o", disk.name, "--init", "none", "--no-cache"]
        well &= say(f"{what}, {name}", measured([*words, *_LARGE, "--metadata-file", f"{disk.name}.json"], place))
        if disk.exists():
            status = disk.stat()
            print(f"    {status.st_size:,} bytes, of which {status.st_blocks * 512:,} take room")
            well &= say(f"{what}, {name}: verify", measured(["verify", disk.name, *_LARGE], place))
            disk.unlink()
    left = sorted(path.name for path in place.iterdir() if path.name.startswith("."))
    if left:
        print(f"FOUND: left: {left}")
    return well and not left


def entries(place: Path, count: int = 1_000_000) -> bool:
    """An image of a million entries: files, directories and links."""
    per = 1000
    members = []
    for number in range(count // per):
        folder = f"d{number // 100:03}/e{number:05}"
        members.append(directory(folder))
        members += [file(f"{folder}/f{each:03}", b"%d" % each * (each % 7)) for each in range(per - 101)]
        members += [symlink(f"{folder}/l{each:03}", f"f{each:03}") for each in range(100)]
    layout(place / "image", Spec((tar(*members),)))
    return build_all(f"{count:,} entries", place, "oci:image")


def layers(place: Path, count: int = 500) -> bool:
    """An image of as many layers, each of which replaces, adds and removes files of those below."""
    made = []
    for number in range(count):
        data = b"%d" % number
        members = [file("same", data), file(f"d/{number}", b"x" * number), file(f"d/of-{number % 7}", data)]
        if number > 3:
            members.append(file(f"d/.wh.{number - 3}", b""))
        made.append(tar(*members))
    layout(place / "image", Spec(tuple(made)))
    return build_all(f"{count} layers", place, "oci:image")


def holes(place: Path, gigabytes: int = 100) -> bool:
    """An image of one sparse file, which says that it is of so many GB, with a block of data every GB."""
    extents = [(number * 10**9, b"%04096d" % number) for number in range(gigabytes)]
    layout(place / "image", Spec((tar(sparse_pax("holes", extents, gigabytes * 10**9, "1.0")),)))
    return build_all(f"{gigabytes} GB of holes", place, "oci:image")


LARGE = {"entries": entries, "layers": layers, "holes": holes}
