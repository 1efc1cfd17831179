"""Init as programs: static ones of musl's, for each architecture; the same sources give the same bytes on any machine.

ziglang brings compiler, linker and libc for all of them, in one version: that fixes the bytes. It has to build the
libc first, which takes a minute, so what is there of the same sources is taken as it is.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

COMPILER = "ziglang==0.15.2"

# Machines as compilers call them.
MACHINES = ("x86_64", "aarch64")

_FLAGS = [
    *("-static", "-Os", "-s", "-flto", "-std=gnu11"),
    *("-Wall", "-Wextra", "-Werror", "-Wl,--gc-sections"),
    # Paths of the machine that compiles stay out.
    "-ffile-prefix-map=.=.",
]


class Programs:
    """The programs in `folder`, made of the C files in `sources`."""

    def __init__(self, sources: Path, folder: Path) -> None:
        self._sources = sources
        self._folder = folder
        self._record = folder / "made-of"
        self.paths = [folder / f"init-{machine}" for machine in MACHINES]

    @property
    def are_current(self) -> bool:
        """Whether they are there, made of these very sources by this very compiler."""
        there = self._record.exists() and all(path.exists() for path in self.paths)
        return there and self._record.read_text() == self._digest()

    def make(self) -> None:
        """Compile them, unless they are current; raises CalledProcessError."""
        if self.are_current:
            return
        self._folder.mkdir(exist_ok=True)
        self._record.unlink(missing_ok=True)
        names = [source.name for source in self._files() if source.suffix == ".c"]
        with environment() as settings:
            for machine, path in zip(MACHINES, self.paths, strict=True):
                compiler = [sys.executable, "-m", "ziglang", "cc", "-target", f"{machine}-linux-musl"]
                command = [*compiler, *_FLAGS, "-o", str(path.resolve()), *names]
                # From the folder of the sources: names are part of what is compiled.
                subprocess.run(command, cwd=self._sources, env=settings, check=True)
        self._record.write_text(self._digest())

    def _files(self) -> list[Path]:
        return sorted(self._sources.glob("*.[ch]"))

    def _digest(self) -> str:
        parts = [COMPILER, *_FLAGS, *MACHINES, *(f"{path.name}\n{path.read_text()}" for path in self._files())]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@contextmanager
def environment() -> Iterator[dict[str, str]]:
    """Yield the variables for the compiler, which gives up where it has no place for the libc: its user has no home."""
    settings = dict(os.environ)
    with TemporaryDirectory() as instead:
        if not _keeps_caches():
            settings["ZIG_GLOBAL_CACHE_DIR"] = instead
        yield settings


def _keeps_caches() -> bool:
    if "ZIG_GLOBAL_CACHE_DIR" in os.environ:
        return True
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path(os.environ["HOME"], ".cache"), "zig")
        cache.mkdir(parents=True, exist_ok=True)
    except (KeyError, OSError):
        return False
    return os.access(cache, os.W_OK)
