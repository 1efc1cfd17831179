"""Kinds of fault: permissions, sources and streams that are taken away, and limits that are low."""

from __future__ import annotations

import json
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path

from support.users import ORDINARY

from faulting.kind import Bench, Kind
from faulting.running import Around
from faulting.subjects import FOLDERS, Subject

_ACTS = ("gone", "empty", "half", "longer", "other", "directory", "fifo", "loop")


class Sources(Kind):
    """`ACT FILE WHEN`: something happens to a file of the image, before the command starts or in a part of its time."""

    name = "source"

    def faults(self, bench: Bench, subject: Subject) -> Iterator[str]:
        if _source(subject) is None:
            return
        for number, act in enumerate(_ACTS):
            for position, what in enumerate(("index", "manifest", "config", "layer-0", "layer-1")):
                if (number + position) % min(bench.step, 5) == 0:
                    yield f"{act} {what} 0"
                    yield f"{act} {what} {0.1 + (number * 5 + position) % 9 / 10:.1f}"

    @contextmanager
    def around(self, fault: str, place: Path, bench: Bench, subject: Subject) -> Iterator[Around]:
        act, what, when = fault.split()
        file = _files(place / (_source(subject) or ""))[what]
        kept = file.read_bytes()

        def act_on_it(_pid: int) -> None:
            _act(act, file, kept)

        if float(when):
            yield Around(after=bench.seconds(subject, False) * float(when), then=act_on_it)
        else:
            act_on_it(0)
            yield Around()
        _remove(file)
        file.write_bytes(kept)

    def statuses(self, fault: str) -> set[int]:
        return {0, 1, 3, 4}


def _source(subject: Subject) -> str | None:
    """Name the layout that a command reads, if it reads one."""
    for word in subject.words:
        if word.startswith("oci:"):
            return word.removeprefix("oci:")
    return "image" if "list" in subject.words else None


def _files(image: Path) -> dict[str, Path]:
    def blob(descriptor: dict[str, str]) -> Path:
        return image / "blobs" / descriptor["digest"].replace(":", "/")

    manifest = blob(json.loads((image / "index.json").read_bytes())["manifests"][0])
    document = json.loads(manifest.read_bytes())
    layers = {f"layer-{number}": blob(each) for number, each in enumerate(document["layers"])}
    return {"index": image / "index.json", "manifest": manifest, "config": blob(document["config"]), **layers}


def _act(act: str, file: Path, kept: bytes) -> None:
    _remove(file)
    contents = {"empty": b"", "half": kept[: len(kept) // 2], "longer": kept + b"\0", "other": kept[::-1]}
    match act:
        case "directory":
            file.mkdir()
        case "fifo":
            os.mkfifo(file)
        case "loop":
            file.symlink_to(file)
        case "gone":
            pass
        case _:
            file.write_bytes(contents[act])


def _remove(file: Path) -> None:
    if file.is_dir() and not file.is_symlink():
        file.rmdir()
    else:
        file.unlink(missing_ok=True)


class Permissions(Kind):
    """`MODE PLACE`: an ordinary user runs the command, and one directory or file has other modes for it."""

    name = "permission"

    def faults(self, bench: Bench, subject: Subject) -> Iterator[str]:
        if os.geteuid() == 0:
            for place in (*FOLDERS, "image", "image/index.json", "image/blobs/sha256", "list", "."):
                for mode in ("0", "111", "444", "555"):
                    yield f"{mode} {place}"

    @contextmanager
    def around(self, fault: str, place: Path, bench: Bench, subject: Subject) -> Iterator[Around]:
        mode, name = fault.split()
        for folder, directories, files in os.walk(place):
            for each in (".", *directories, *files):
                os.chown(Path(folder, each), ORDINARY, ORDINARY, follow_symlinks=False)
        target = place / name
        if not target.exists():
            yield Around(user=ORDINARY)
            return
        before = target.stat().st_mode
        target.chmod(int(mode, 8))
        yield Around(user=ORDINARY)
        target.chmod(before)

    def statuses(self, fault: str) -> set[int]:
        # A list of images that cannot be read is a word that is wrong.
        return {0, 1, 2, 4} if fault.endswith((" list", " .")) else {0, 1, 4}


class Streams(Kind):
    """`DESCRIPTORS WHAT`: standard streams that are closed, full or broken."""

    name = "stream"

    def faults(self, bench: Bench, subject: Subject) -> Iterator[str]:
        for count in (1, 2, 3):
            for chosen in combinations("012", count):
                yield f"{''.join(chosen)} closed"
        for fds in ("1", "2", "12"):
            for what in ("/dev/full", "broken"):
                yield f"{fds} {what}"

    @contextmanager
    def around(self, fault: str, place: Path, bench: Bench, subject: Subject) -> Iterator[Around]:
        fds, what = fault.split()
        yield Around(streams={int(fd): what for fd in fds}, real=True)

    def is_silent(self, fault: str) -> bool:
        # Who reads no further needs no word.
        return "2" in fault or "broken" in fault


_LIMITS: dict[str, tuple[int, Callable[[Subject], list[int]]]] = {
    "files": (resource.RLIMIT_NOFILE, lambda subject: [*range(5, 40)]),
    "memory": (resource.RLIMIT_AS, lambda subject: [size << 20 for size in range(20, 340, 10)]),
    "file-size": (resource.RLIMIT_FSIZE, lambda subject: [0, 1, 512, *(4096 << n for n in range(13))]),
    "processes": (resource.RLIMIT_NPROC, lambda subject: [*range(1, 14)]),
    "stack": (resource.RLIMIT_STACK, lambda subject: [size << 10 for size in (256, 512, 1024)]),
    "processor": (resource.RLIMIT_CPU, lambda subject: [0, 1]),
    "locks": (resource.RLIMIT_MEMLOCK, lambda subject: [0]),
}


class Limits(Kind):
    """`WHAT NUMBER`: the system gives the command no more of something."""

    name = "limit"

    def faults(self, bench: Bench, subject: Subject) -> Iterator[str]:
        for position, (what, (_, values)) in enumerate(_LIMITS.items()):
            if what != "processes" or os.geteuid() == 0:
                for value in values(subject)[position % bench.step :: bench.step]:
                    yield f"{what} {value}"

    @contextmanager
    def around(self, fault: str, place: Path, bench: Bench, subject: Subject) -> Iterator[Around]:
        what, value = fault.split()
        user = None
        if what == "processes":
            user = ORDINARY + 1
            for folder, directories, files in os.walk(place):
                for each in (".", *directories, *files):
                    os.chown(Path(folder, each), user, user, follow_symlinks=False)
        yield Around(limits={_LIMITS[what][0]: int(value)}, user=user, real=what != "processes")

    def statuses(self, fault: str) -> set[int]:
        # Linux ends what has used up its time with SIGXCPU, or SIGKILL at the hard limit.
        return {0, 1, 4, -24, -9} if fault.startswith("processor") else {0, 1, 4}

    def is_silent(self, fault: str) -> bool:
        # What it says is a file here.
        return fault.startswith(("processor", "file-size"))

    def may_leave(self, fault: str) -> bool:
        return fault.startswith("processor")


def executable_paths(name: str) -> list[Path]:
    """Find all places where a program of that name is found first or later."""
    system = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin"]
    places = dict.fromkeys([*os.environ["PATH"].split(":"), *system])
    return list({Path(found).resolve() for each in places if (found := shutil.which(name, path=each))})
