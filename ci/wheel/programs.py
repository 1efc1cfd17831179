"""Init as programs: static ones of musl's, for each architecture; the same sources give the same bytes on any machine.

ziglang brings compiler, linker and libc for all of them, in one version: that fixes the bytes. It has to build the
libc first, which takes a minute, so what is there of the same sources is taken as it is.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

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
        for machine, path in zip(MACHINES, self.paths, strict=True):
            # From the folder of the sources: names are part of what is compiled.
            compiler = [sys.executable, "-m", "ziglang", "cc", "-target", f"{machine}-linux-musl"]
            names = [source.name for source in self._files() if source.suffix == ".c"]
            subprocess.run([*compiler, *_FLAGS, "-o", path.resolve(), *names], cwd=self._sources, check=True)
        self._record.write_text(self._digest())

    def _files(self) -> list[Path]:
        return sorted(self._sources.glob("*.[ch]"))

    def _digest(self) -> str:
        parts = [COMPILER, *_FLAGS, *MACHINES, *(f"{path.name}\n{path.read_text()}" for path in self._files())]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()
