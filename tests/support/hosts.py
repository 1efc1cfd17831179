"""File systems of this machine on which disks are built: small ones in loop devices, and one in memory."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# By name: how each is made.
MAKE = {
    "ext4": ["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096"],
    "ext4 of small blocks": ["mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024"],
    "ext4 of clusters": ["mke2fs", "-q", "-F", "-t", "ext4", "-O", "bigalloc", "-C", "65536"],
    "xfs": ["mkfs.xfs", "-q"],
    "ext2": ["mke2fs", "-q", "-F", "-t", "ext2"],
}
# XFS takes no less, and most of it stays a hole.
_SIZE = 320 << 20


@contextmanager
def host(kind: str, place: Path, size: int = _SIZE) -> Iterator[Path]:
    """Mount a new file system, one of MAKE or `tmpfs`, in the directory `place`; needs root and loop devices."""
    mounted = place / "mounted"
    mounted.mkdir()
    if kind == "tmpfs":
        options = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs"]
    else:
        image = place / "host"
        with image.open("wb") as file:
            file.truncate(size)
        subprocess.run([*MAKE[kind], image], check=True, stdout=subprocess.DEVNULL)
        options = ["-o", "loop", str(image)]
    subprocess.run(["mount", *options, mounted], check=True)
    try:
        yield mounted
    finally:
        subprocess.run(["umount", mounted], check=True)
