"""What commands take: time, processor, memory of all their processes, and bytes that reach the drive below them."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

_SAMPLE_SECONDS = 0.05
_SECTOR = 512


class Failed(Exception):
    """A command that was to be measured failed; says which, and the last line of what it said."""


@dataclass(frozen=True, slots=True)
class Run:
    """What commands took: seconds by the clock and of all processors, bytes of memory at once, bytes written."""

    seconds: float
    cpu: float
    memory: int
    written: int

    def __add__(self, other: Run) -> Run:
        """What both took, one after the other."""
        memory = max(self.memory, other.memory)
        return Run(self.seconds + other.seconds, self.cpu + other.cpu, memory, self.written + other.written)


def measured(argv: Sequence[str | Path], place: Path, environment: dict[str, str]) -> Run:
    """Run a command in a directory, between two syncs of its file system. Raises Failed.

    The last is not in the time: who wants it there says so in the command, as our builds sync what they make.
    """
    before = _written(place)
    run = watched(argv, place, environment)
    return replace(run, written=_written(place) - before)


def watched(argv: Sequence[str | Path], place: Path, environment: dict[str, str]) -> Run:
    """Run a command in a directory, and say nothing of what it wrote. Raises Failed."""
    with tempfile.TemporaryFile() as said:
        began = time.monotonic()
        process = subprocess.Popen(
            argv, cwd=place, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said
        )
        watch = _Watch(process.pid)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            # It would keep the file system that it works on.
            process.kill()
            process.wait()
            raise
        finally:
            memory = watch.stop()
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            said.seek(0)
            last = said.read().decode(errors="replace").strip().splitlines()[-1:]
            raise Failed(f"{Path(argv[0]).name}: status {process.returncode}: {''.join(last)}")
    return Run(seconds, usage.ru_utime + usage.ru_stime, memory, 0)


class _Watch:
    """Looks at the memory of a process and all below it, some times a second, on a thread.

    Not the kernel's own account of a process that has ended: that begins with what its parent had when it forked.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._most = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """Look no more, and tell the most bytes that all had at once, or that one had at any time."""
        self._ended.set()
        self._thread.join()
        return self._most

    def _run(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            at_once, peak = resident(self._root)
            self._most = max(self._most, at_once, peak)


def resident(process: int) -> tuple[int, int]:
    """Add up what a process and all below it have in memory now; with it comes the highest peak of one of them."""
    total = peak = 0
    # One that ended meanwhile has nothing any more.
    with suppress(OSError, ValueError, KeyError):
        status = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
        total, peak = (int(status[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
        for task in Path(f"/proc/{process}/task").iterdir():
            for child in (task / "children").read_text().split():
                below, highest = resident(int(child))
                total, peak = total + below, max(peak, highest)
    return total, peak


def _written(place: Path) -> int:
    """Count the bytes that have reached the drive below a directory, now that all has."""
    # Only this one: elsewhere others may write without an end.
    subprocess.run(["sync", "--file-system", place], check=True)
    device = place.stat().st_dev
    drive = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat")
    # There is none below memory, and below some containers.
    return int(drive.read_text().split()[6]) * _SECTOR if drive.exists() else 0


@contextmanager
def new_file_system(scratch: Path, size: int) -> Iterator[Path]:
    """Mount an ext4 of so many bytes that nothing was ever written to; gives the directory."""
    backing, mounted = scratch / "backing", scratch / "mounted"
    backing.touch()
    os.truncate(backing, size)
    # What is lazy is done by the kernel later, while something is measured.
    subprocess.run(["mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", backing], check=True)
    mounted.mkdir()
    loop = subprocess.run(["losetup", "--find", "--show", backing], check=True, capture_output=True, text=True).stdout
    # Through memory, a processor copies what is written, which none does for a drive. Not every place can do without.
    subprocess.run(["losetup", "--direct-io=on", loop.strip()], check=False, stderr=subprocess.DEVNULL)
    try:
        subprocess.run(["mount", loop.strip(), mounted], check=True)
    finally:
        # It goes when it is not mounted any more.
        subprocess.run(["losetup", "--detach", loop.strip()], check=True)
    device = mounted.stat().st_dev
    # A drive that is new to the kernel has next to no share of the memory for what is not written yet: it would be sent
    # content that upper layers take away.
    share = Path(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/min_ratio")
    try:
        # Refused beside another one that is measured: together they may have no more than all.
        share.write_text("90")
        try:
            yield mounted
        finally:
            share.write_text("0")
    finally:
        subprocess.run(["umount", mounted], check=True)
        mounted.rmdir()
        backing.unlink()
