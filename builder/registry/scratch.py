"""Where blobs go that nobody keeps: nameless files, gone with the process."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


class ScratchFile:
    """A blob in a nameless file of `directory`, by default the system's for temporary files."""

    there = 0

    def __init__(self, directory: Path | None) -> None:
        self._file = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115 - closed by close()

    def write(self, chunk: bytes) -> None:
        """Add what arrived next."""
        # One call may write less than all, when the disk is nearly full; the next then says so.
        left = memoryview(chunk)
        while left:
            left = left[self._file.write(left) :]

    def read(self, position: int, size: int) -> bytes:
        """Read what has been written."""
        return os.pread(self._file.fileno(), size, position)

    def finish(self) -> None:
        """Nothing is kept, so nothing is verified here."""

    def discard(self) -> None:
        """Nothing is kept anyway."""

    def close(self) -> None:
        """Let go of the file, which is gone then."""
        self._file.close()
