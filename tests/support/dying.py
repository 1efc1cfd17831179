"""Build a disk with its side outputs, and be killed at each step in turn.

A program of its own, with one thread, so that it may fork: `python -m support.dying DIRECTORY`. Prints the steps as a
JSON list; what must never happen ends it with a message.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.images import Spec, layout
from support.tars import file, tar

from builder import BuildOptions, build
from builder.disk import content as placing
from builder.disk.filesystem import DiskOptions

# What changes files or makes that last, apart from writing.
CALLS = ("mkdir", "open", "link", "ftruncate", "fsync", "setxattr", "utime", "fchmod", "replace", "unlink", "rmdir")
NAMES = {"disk": "d.ext4", "metadata": "m.json", "dependencies": "d"}


def options(place: Path) -> BuildOptions:
    side = {"metadata_file": place / "metadata/m.json", "depfile": place / "dependencies/d"}
    return BuildOptions(disk=DiskOptions(check=False), **side)  # type: ignore[arg-type]


def run(image: Path, place: Path) -> None:
    build(f"oci:{image}", place / "disk/d.ext4", options(place))


def contents(place: Path) -> dict[str, bytes]:
    return {each: (place / each / name).read_bytes() for each, name in NAMES.items()}


def killed_at(last: int, act: Callable[[], None]) -> list[str] | None:
    """Run `act` in another process, which is killed before its `last` step; give the steps of one that ends."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            steps = count_down(last)
            act()
            os.write(writer, json.dumps(steps).encode())
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os.close(writer)
    with open(reader, "rb") as pipe:
        said = pipe.read()
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        return None
    if status:
        sys.exit(f"step {last}: the build failed")
    return [str(step) for step in json.loads(said)]


def count_down(last: int) -> list[str]:
    """From now on, count the calls that change something, and be killed before the last of them."""
    steps: list[str] = []

    def counted(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            if name != "open" or arguments[1] & os.O_CREAT:
                if len(steps) == last:
                    os.kill(os.getpid(), signal.SIGKILL)
                steps.append(name)
            return real(*arguments, **options)

        return call

    for name in CALLS:
        setattr(os, name, counted(name))
    return steps


def check(step: int, before: dict[str, bytes], found: dict[str, bytes], after: dict[str, bytes]) -> None:
    """Whole files only; metadata of the new disk beside no older one, and no new disk without its dependencies."""
    for name, content in found.items():
        if content not in (before[name], after[name]):
            sys.exit(f"step {step}: {name} is neither the old nor the new one")
    new = {name for name, content in found.items() if content == after[name]}
    if new not in (set(), {"dependencies"}, {"dependencies", "disk"}, set(NAMES)):
        sys.exit(f"step {step}: of the new files there are {new} only")


def main(directory: str) -> None:
    # Small as they are, they are moved to their places as large ones are.
    vars(placing)["_WORTH"] = 0
    top = Path(directory)
    layout(top / "old", Spec((tar(file("a", b"old")),)))
    layout(top / "new", Spec((tar(file("a", b"new"), file("b", b"new")),)))
    for name in NAMES:
        (top / "first" / name).mkdir(parents=True)
    place = top / "place"
    shutil.copytree(top / "first", place)
    run(top / "new", place)
    after = contents(place)
    shutil.rmtree(place)
    shutil.copytree(top / "first", place)
    run(top / "old", place)
    before = contents(place)
    place.rename(top / "prepared")
    last = 0
    while True:
        shutil.copytree(top / "prepared", place)
        steps = killed_at(last, lambda: run(top / "new", place))
        check(last, before, contents(place), after)
        run(top / "new", place)
        if contents(place) != after:
            sys.exit(f"step {last}: the next build made something else")
        left = sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_dir() or path.name[0] == ".")
        if left != sorted(NAMES):
            sys.exit(f"step {last}: the next build left {left}")
        shutil.rmtree(place)
        if steps is not None:
            print(json.dumps(steps))
            return
        last += 1


if __name__ == "__main__":
    main(*sys.argv[1:])
