"""Look at a disk as the kernel does."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def mounted(image: Path, options: str = "ro") -> Iterator[Path]:
    """Mount a disk image at a new, empty directory and yield that; needs root and loop devices."""
    with tempfile.TemporaryDirectory(prefix="mounted-") as directory:
        subprocess.run(["mount", "-o", f"loop,{options}", image, directory], check=True)
        try:
            yield Path(directory)
        finally:
            subprocess.run(["umount", directory], check=True)
