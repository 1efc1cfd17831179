"""Kinds of fault: a disk that is full, with a little less room each time."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faulting.kind import Bench, Kind
from faulting.running import Around
from faulting.state import FILLER
from faulting.subjects import Subject

_SIZE = 48 << 20
PLACES = ("out", "tmp", "cache", "store")
_WITHOUT_TMPDIR = ("boot", "pull", "store gc", "cache prune")


class Room(Kind):
    """`FILE-SYSTEM PLACE KIB`: so much room is left in one of the command's directories."""

    name = "room"

    def faults(self, bench: Bench, subject: Subject) -> Iterator[str]:
        if not bench.mounts:
            return
        sizes = [*range(0, 64, 4), *range(64, 1024, 32), *range(1024, 4096, 256), *range(4096, 16384, 1024)]
        for position, (system, place) in enumerate((s, p) for s in ("tmpfs", "ext4") for p in PLACES):
            if system == "tmpfs" or place in ("out", "tmp"):
                for size in sizes[position % bench.step :: bench.step]:
                    yield f"{system} {place} {size}"

    @contextmanager
    def around(self, fault: str, place: Path, bench: Bench, subject: Subject) -> Iterator[Around]:
        system, name, kib = fault.split()
        folder = place / name
        laid = bench.scratch / "laid"
        shutil.copytree(folder, laid, symlinks=True)
        _mount(system, folder, bench.scratch / "file-system")
        self._mounted = folder
        shutil.copytree(laid, folder, symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(laid)
        _fill(folder, int(kib) << 10)
        yield Around(words=("--tmpdir", "tmp") if name == "tmp" and subject.name not in _WITHOUT_TMPDIR else ())
        (folder / FILLER).unlink()

    def settle(self) -> None:
        subprocess.run(["umount", self._mounted], check=True)


def _mount(system: str, folder: Path, file: Path) -> None:
    if system == "tmpfs":
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_SIZE},mode=755", "tmpfs", folder], check=True)
        return
    file.unlink(missing_ok=True)
    with file.open("wb") as made:
        made.truncate(_SIZE)
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", "-O", "^has_journal", file], check=True)
    subprocess.run(["mount", "-o", "loop", file, folder], check=True)
    (folder / "lost+found").rmdir()


def _fill(folder: Path, left: int) -> None:
    """Take all room but so many bytes."""
    with (folder / FILLER).open("wb") as file:
        for _ in range(20):
            status = os.statvfs(folder)
            more = status.f_bavail * status.f_frsize - left
            if more <= 0:
                return
            at = file.seek(0, os.SEEK_END)
            for size in (more, more - 65536, 4096):
                if size > 0:
                    try:
                        os.posix_fallocate(file.fileno(), at, size)
                        break
                    except OSError:
                        continue
