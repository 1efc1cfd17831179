"""The library that has calls fail: compiled here, preloaded into what is tried, and told by a page what to do."""

from __future__ import annotations

import ctypes
import mmap
import os
import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

# As in shim.c.
KINDS = {"read": 1, "write": 2, "open": 4, "rename": 8, "sync": 16, "room": 32, "copy": 64}
_PAGE = struct.Struct("=qqqii8q512s")


def compile_shim(folder: Path) -> Path | None:
    """Compile the library into a folder, where there is a compiler; raises CalledProcessError."""
    if shutil.which("cc") is None:
        return None
    library = folder / "shim.so"
    source = Path(__file__).with_name("shim.c")
    flags = ["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["cc", *flags, "-o", library, source, "-ldl"], check=True)
    return library


class Page:
    """What the library counts and does, shared with everything that is started."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(mmap.PAGESIZE))
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._memory = mmap.mmap(fd, mmap.PAGESIZE)
        os.close(fd)

    def set(self, kinds: Sequence[str], at: int = 0, last: int = 0, error: int = 0) -> None:
        """Count calls of these kinds, from none on, and hit those with the numbers from `at` to `last`."""
        mask = sum(KINDS[kind] for kind in kinds)
        self._memory[: _PAGE.size] = _PAGE.pack(0, at, last, mask, error, *[0] * 8, b"")

    def counts(self) -> dict[str, int]:
        """Tell how many calls of each kind were made."""
        each = _PAGE.unpack(self._memory[: _PAGE.size])[5:-1]
        return {kind: each[bit.bit_length() - 1] for kind, bit in KINDS.items()}

    def first_hit(self) -> str:
        """Tell which call was the first that was hit, and of what."""
        which: bytes = _PAGE.unpack(self._memory[: _PAGE.size])[-1]
        return which.rstrip(b"\0").decode(errors="replace")


def begin() -> None:
    """Take part from now on, in this process, where the library is preloaded."""
    ctypes.CDLL(None).faults_begin()
