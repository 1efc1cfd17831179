"""Pull, remove and collect in many processes at once, and `kill -9` them at random moments.

A program of its own, with one thread, so that it may fork: `python -m support.killing DIRECTORY SEED KILLS`. Prints
a JSON object of what happened; what must never happen ends it with a message.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from support.images import LAYER, OCI, TAG, add_blob, dumps, index_bytes, write_directory

from builder.actions.pull import pull
from builder.image.digest import Digest
from builder.image.name import ImageName
from builder.sources.access import Access
from builder.store import open_store
from builder.store.check import check
from builder.store.collect import blobs_of, collect
from builder.store.listing import describe

IMAGES = 24
LAYERS = 10
PROCESSES = 5
LONGEST = 1.0  # seconds until a kill, most of which come much sooner


@dataclass(frozen=True, slots=True)
class Child:
    role: str
    name: str
    kill_at: float


def make_layout(directory: Path, chance: random.Random) -> None:
    """Images of random layers, which they share."""
    files: dict[str, object] = {"oci-layout": dumps({"imageLayoutVersion": "1.0.0"})}
    layers = [chance.randbytes(chance.choice([1000, 100_000, 600_000])) for _ in range(LAYERS)]
    entries = []
    for number in range(IMAGES):
        chosen = chance.sample(layers, chance.randint(1, 4))
        rootfs = {"type": "layers", "diff_ids": [str(Digest.of(layer)) for layer in chosen]}
        config = {"os": "linux", "architecture": "amd64", "author": str(number), "rootfs": rootfs}
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{OCI}manifest.v1+json",
            "config": add_blob(files, dumps(config), f"{OCI}config.v1+json"),  # type: ignore[arg-type]
            "layers": [add_blob(files, layer, LAYER) for layer in chosen],  # type: ignore[arg-type]
        }
        entry = add_blob(files, dumps(manifest), f"{OCI}manifest.v1+json")  # type: ignore[arg-type]
        entries.append({**entry, "annotations": {TAG: str(number)}})
    files["index.json"] = index_bytes(entries)
    write_directory(directory, files)  # type: ignore[arg-type]


def start(act: Callable[[], object]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            act()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return pid


class Trial:
    def __init__(self, directory: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.layout = directory / "layout"
        self.root = str(directory / "store")
        make_layout(self.layout, self.chance)
        self.children: dict[int, Child] = {}
        # What may be counted on: pulled, and never to be removed.
        self.recorded: set[str] = set()
        self.counts: Counter[str] = Counter()
        # The most that the killed had left at one moment.
        self.litter: Counter[str] = Counter()

    def start_one(self) -> None:
        number = self.chance.randrange(IMAGES)
        role = self.chance.choices(["keep", "churn", "remove", "gc", "verify"], [4, 4, 3, 4, 1])[0]
        name = f"localhost/{'churn' if role == 'remove' else role}:{number}"
        acts: dict[str, Callable[[], object]] = {
            "keep": lambda: self.pull(number, name),
            "churn": lambda: self.pull(number, name),
            "remove": lambda: open_store(self.root).remove(ImageName.parse(name)),
            "gc": lambda: collect(open_store(self.root)),
            "verify": self.verify,
        }
        kill_at = time.monotonic() + LONGEST * self.chance.random() ** 2
        self.children[start(acts[role])] = Child(role, name, kill_at)

    def pull(self, number: int, name: str) -> None:
        pull(f"oci:{self.layout}:{number}", Access(store=self.root), name=ImageName.parse(name))

    def verify(self) -> None:
        damages = check(open_store(self.root), quarantine=True).damages
        if damages:
            sys.exit(f"verify found {damages}")

    def reap(self, wait: bool) -> None:
        for pid, child in list(self.children.items()):
            if not wait and time.monotonic() > child.kill_at:
                os.kill(pid, signal.SIGKILL)
            done, status = os.waitpid(pid, 0 if wait else os.WNOHANG)
            if not done:
                continue
            del self.children[pid]
            if os.WIFSIGNALED(status):
                self.counts[f"{child.role} killed"] += 1
                self.look()
            elif os.WEXITSTATUS(status):
                sys.exit(f"{child.role} {child.name} failed")
            else:
                self.counts[f"{child.role} done"] += 1
                if child.role == "keep":
                    self.recorded.add(child.name)

    def killed(self) -> int:
        return sum(count for what, count in self.counts.items() if what.endswith("killed"))

    def look(self) -> None:
        """What must hold at every moment, while the others go on."""
        with closing(open_store(self.root)) as store:
            left = collect(store, dry_run=True)
            self.litter |= Counter(tmp=left.temporaries, leases=left.leases)
            for digest in blobs_of(store):
                file = store.open(digest)
                if file is not None:
                    with file:
                        if Digest.of(file.read(), digest.algorithm) != digest:
                            sys.exit(f"{digest} is corrupt")
            for name in self.recorded:
                descriptor = store.get_manifest(ImageName.parse(name))
                if descriptor is None:
                    sys.exit(f"{name} is lost")
                found = describe(store, ImageName.parse(name), descriptor)
                if found.missing or found.problem or not found.platforms:
                    sys.exit(f"{name} is incomplete: {found}")

    def finish(self) -> dict[str, object]:
        self.reap(wait=True)
        with closing(open_store(self.root)) as store:
            collected = collect(store)
            after = [name for folder in ("tmp", "leases") for name in store.room.names(folder)]
            self.look()
            checked = check(store)
            names = [str(name) for name, _ in store.references()]
        return {
            "counts": self.counts,
            "recorded": len(self.recorded),
            "litter": self.litter,
            "collected": collected.blobs,
            "left": after,
            "damages": [str(damage) for damage in checked.damages],
            "lost": sorted(self.recorded - set(names)),
        }


def main(directory: str, seed: str, kills: str) -> None:
    trial = Trial(Path(directory), int(seed))
    while trial.killed() < int(kills):
        while len(trial.children) < PROCESSES:
            trial.start_one()
        time.sleep(0.001)
        trial.reap(wait=False)
    print(json.dumps(trial.finish()))


if __name__ == "__main__":
    main(*sys.argv[1:])
