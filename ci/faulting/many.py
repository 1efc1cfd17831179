"""Many processes at once, for a while: builds, pulls, and what removes files beside them; and many builds in one.

What came out is held against what each image makes when it is built alone.
"""

from __future__ import annotations

import gc
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from support.images import Spec, layout
from support.tars import file, tar

from builder import BuildOptions, build
from builder.decoded.options import CacheOptions
from builder.store import open_store
from builder.store.check import check
from builder.store.collect import Collected, collect
from faulting.long import ROOT
from faulting.watching import Watch, held

IMAGES = 16
FORMATS = ("ext4", "erofs")
_WATCH_SECONDS = 5


@dataclass(slots=True)
class Many:
    """Commands that run at the same time in `place`; one in so many is killed."""

    place: Path
    chance: random.Random
    running: dict[subprocess.Popen[bytes], tuple[str, float]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def start(self) -> None:
        """Start one command, by chance."""
        number, form = self.chance.randrange(IMAGES), self.chance.choice(FORMATS)
        what, weight = zip(*_COMMANDS.items(), strict=True)
        (name,) = self.chance.choices(what, weight)
        words = {
            "build": ["build", f"oci:i{number}", "-o", f"out/{number}.{form}", "--force"],
            "build from store": ["build", f"store:localhost/i:{number}", "-o", f"out/s{number}.{form}", "--force"],
            "pull": ["store", "pull", f"oci:i{number}", "--name", f"localhost/i:{number}"],
            "remove": ["store", "remove", f"localhost/i:{number}"],
            "gc": ["store", "gc"],
            "prune": ["cache", "prune"],
            "clear": ["cache", "clear"],
        }[name]
        with (self.place / "said" / f"{sum(self.counts.values())}-{len(self.running)}").open("wb") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "builder", "-q", *words],
                cwd=self.place,
                env=_environment(self.place),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
            )
        killed = time.monotonic() + self.chance.random() * 20 if self.chance.random() < 0.15 else float("inf")
        self.running[process] = (f"{name} {said.name}", killed)

    def end(self) -> None:
        """Ask what still runs to end, as it does where the script is ended, and wait for that."""
        for process in self.running:
            process.terminate()
        for process in self.running:
            process.wait()

    def look(self) -> None:
        """Reap what has ended, and kill what is to be killed."""
        for process, (name, killed) in list(self.running.items()):
            if process.poll() is None:
                if time.monotonic() > killed:
                    process.kill()
                continue
            del self.running[process]
            what, _, said = name.rpartition(" ")
            words = Path(said).read_text(errors="replace")
            Path(said).unlink()
            # What was removed meanwhile is not there, and says so.
            gone = what in ("remove", "build from store") and process.returncode == 1 and "localhost/i" in words
            if process.returncode == -signal.SIGKILL:
                self.counts[f"{what}, killed"] += 1
            elif process.returncode == 0 or gone:
                self.counts[f"{what}, {'not there' if process.returncode else 'done'}"] += 1
            else:
                self.counts[f"{what}, FAILED"] += 1
                self.wrong.append(f"{what}: {process.returncode}: {words[-500:]}")


# How often each is started.
_COMMANDS = {"build": 8, "build from store": 3, "pull": 4, "remove": 2, "gc": 2, "prune": 1, "clear": 0.2}


def _environment(place: Path) -> dict[str, str]:
    own = {"XDG_CACHE_HOME": place / "cache", "ROOTFS_BUILDER_STORE": place / "store", "TMPDIR": place / "tmp"}
    return {**os.environ, "PYTHONPATH": str(ROOT), **{name: str(path) for name, path in own.items()}}


def _lay(place: Path) -> dict[str, str]:
    """Make the images; return what each disk's sha256 is when nothing else happens, by name."""
    noise = random.Random(64)
    base = tar(*(file(f"bin/{number}", noise.randbytes(40_000), mode=0o755) for number in range(20)))
    for folder in ("out", "tmp", "said", "alone"):
        (place / folder).mkdir()
    right = {}
    for number in range(IMAGES):
        own = tar(file("own", noise.randbytes(100_000 + number)))
        layout(place / f"i{number}", Spec((base, own), config={"Cmd": ["/bin/0"]}))
        for form in FORMATS:
            disk = place / "alone" / f"{number}.{form}"
            build(f"oci:{place}/i{number}", disk, BuildOptions(cache=CacheOptions(keep=False)))
            right[disk.name] = hashlib.sha256(disk.read_bytes()).hexdigest()
            disk.unlink()
    return right


def many(place: Path, seconds: int = 600, at_once: int = 64, seed: int = 64) -> bool:
    """Run so many commands at once for so long; say what happened, and whether all is right at the end."""
    right = _lay(place)
    trial = Many(place, random.Random(seed))
    watch = Watch(place)
    begun = looked = time.monotonic()
    end = begun + seconds
    try:
        while time.monotonic() < end or trial.running:
            trial.look()
            if time.monotonic() > looked + _WATCH_SECONDS:
                looked = time.monotonic()
                watch.look([process.pid for process in trial.running], (looked - begun) / seconds)
            while time.monotonic() < end and len(trial.running) < at_once:
                trial.start()
            time.sleep(0.05)
    finally:
        trial.end()
    for disk in sorted((place / "out").iterdir()):
        if disk.name.startswith("."):
            continue
        if hashlib.sha256(disk.read_bytes()).hexdigest() != right[disk.name.removeprefix("s")]:
            trial.wrong.append(f"{disk.name} is not what its image makes")
    trial.wrong += watch.grown() + _settled(place) + held(place)
    for what, count in sorted(trial.counts.items()):
        print(f"{what:<40} {count:>6}")
    print("\n".join(watch.lines()))
    for wrong in trial.wrong:
        print(f"FOUND: {wrong}")
    return not trial.wrong


def _settled(place: Path) -> list[str]:
    """List what is wrong once one more build of each kind, gc and prune have cleared up after the killed."""
    wrong = []
    last = (["build", "oci:i0", "-o", "out/0.ext4", "--force"], ["cache", "prune"], ["store", "gc"])
    for words in last:
        done = subprocess.run(
            [sys.executable, "-m", "builder", "-q", *words], cwd=place, env=_environment(place), check=False
        )
        wrong += [f"{' '.join(words)}: {done.returncode}"] if done.returncode else []
    with closing(open_store(str(place / "store"))) as store:
        wrong += [f"{damage.what}: {damage.reason}" for damage in check(store).damages]
        left = collect(store)
        wrong += [f"left in the store: {left}"] if left != Collected(0, 0, 0, 0) else []
    for folder in ("out", "tmp"):
        hidden = [name for name in os.listdir(place / folder) if name.startswith(".") or folder == "tmp"]
        wrong += [f"left in {folder}: {hidden}"] if hidden else []
    making = [path.name for path in (place / "cache").rglob("*.making")]
    return wrong + ([f"left in the cache: {making}"] if making else [])


def same(place: Path, times: int = 200) -> bool:
    """Build in this process again and again, as who imports it does; say what is more at the end than in the middle."""
    layout(place / "image", Spec((tar(*(file(f"f{number}", b"%d" % number * 999) for number in range(200))),)))
    options = BuildOptions(cache=CacheOptions(place=place / "cache"))
    seen = []
    for number in range(times):
        for form in FORMATS:
            (place / f"disk.{form}").unlink(missing_ok=True)
            build(f"oci:{place}/image", place / f"disk.{form}", options)
        if number in (times // 2, times - 1):
            gc.collect()
            seen.append((_resident(), len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))))
    for name, middle, last in zip(("KiB of memory", "descriptors", "threads"), *seen, strict=True):
        print(f"{name}: {middle} after {times // 2} builds of each format, {last} after {times}")
    left = sorted(path.name for path in place.iterdir() if path.name.startswith("."))
    grown = seen[1][0] - seen[0][0] > 4096 or seen[1][1:] != seen[0][1:]
    if grown or left:
        print(f"FOUND: {'it grows; ' if grown else ''}left: {left}")
    return not grown and not left


def _resident() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])
