"""What grows while many commands come and go: memory and descriptors of one, files, locks and processes of all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_QUARTERS = 4
_NAMES = ("KiB of memory", "descriptors")
# A command may take so much more memory, in KiB, and so many more descriptors than any did in the first quarter.
_MORE = (16 << 10, 4)


@dataclass(slots=True)
class Watch:
    """Looks again and again at what runs, and keeps the most that one took in each quarter of the time."""

    place: Path
    most: list[list[int]] = field(default_factory=lambda: [[0, 0] for _ in range(_QUARTERS)])
    files: list[int] = field(default_factory=lambda: [0] * _QUARTERS)

    def look(self, pids: Iterable[int], part: float) -> None:
        """Look at commands, and at the files that there are, at that part of the time."""
        quarter = min(int(part * _QUARTERS), _QUARTERS - 1)
        for pid in pids:
            # It may end meanwhile, and what has ended has neither.
            with suppress(OSError, IndexError):
                status = Path(f"/proc/{pid}/status").read_text()
                taken = int(status.split("VmHWM:")[1].split()[0]), len(os.listdir(f"/proc/{pid}/fd"))
                self.most[quarter] = [max(pair) for pair in zip(self.most[quarter], taken, strict=True)]
        self.files[quarter] = max(self.files[quarter], sum(len(files) for _, _, files in os.walk(self.place)))

    def lines(self) -> Iterator[str]:
        """Say what each quarter took."""
        memory, descriptors = zip(*self.most, strict=True)
        yield f"quarters: at most {', '.join(f'{kib // 1024}' for kib in memory)} MiB of memory in one command"
        yield f"quarters: at most {', '.join(map(str, descriptors))} descriptors in one command"
        yield f"quarters: at most {', '.join(map(str, self.files))} files"

    def grown(self) -> list[str]:
        """List what the last quarter took more of than the first, if that saw anything."""
        found = []
        for name, first, last, more in zip(_NAMES, self.most[0], self.most[-1], _MORE, strict=True):
            if 0 < first < last - more:
                found.append(f"{name}: {last} where it began with {first}")
        return found


def held(place: Path) -> list[str]:
    """List locks of files below `place` that somebody has, and processes that work there."""
    inodes = {}
    for folder, folders, files in os.walk(place):
        for name in (*folders, *files):
            status = os.lstat(os.path.join(folder, name))
            device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
            inodes[f"{device}:{status.st_ino}"] = os.path.join(folder, name)
    words = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    found = [f"locked: {inodes[each[5]]}" for each in words if len(each) > 5 and each[5] in inodes]
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if Path(os.readlink(process / "cwd")).is_relative_to(place) and int(process.name) != os.getpid():
                found.append(f"left running: {(process / 'cmdline').read_bytes().replace(bytes(1), b' ').decode()}")
    return found
