"""The metadata that stand beside a disk, and what of them a machine needs: how its hash tree is read."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import msgspec

from builder.disk.verity import Verity
from builder.errors import BuilderError, UsageError
from builder.words import quoted

_MAX_METADATA = 64 << 20


class DiskCut(BuilderError):
    """A disk ends before its hash tree does; sizes in bytes."""

    def __init__(self, disk: Path, size: int, needed: int, metadata: Path) -> None:
        super().__init__(f"{disk}: has {size} bytes, and by {metadata} its hash tree ends at {needed}; build it again")
        self.size = size
        self.needed = needed


class _Described(msgspec.Struct):
    builder: str
    verity: Verity | None = None


def metadata_path(disk: Path) -> Path:
    """Tell where the metadata of a disk are looked for, and where a batch writes them: DISK.json."""
    return disk.with_name(f"{disk.name}.json")


def read_verity(disk: Path, metadata: Path | None = None) -> Verity | None:
    """Tell how the hash tree of a disk is read, by the file `metadata`, or by the one beside it; None without one.

    Raises UsageError for a file that is none of ours, DiskCut, and OSError for one that cannot be read.
    """
    path = metadata or metadata_path(disk)
    # What else has that name, such as a fifo or a directory, is no metadata of this disk.
    if metadata is None and not path.is_file():
        return None
    if path.exists() and not path.is_file():
        raise UsageError(f"{path}: is no regular file; name the metadata of the disk")
    with path.open("rb") as file:
        content = file.read(_MAX_METADATA)
    try:
        # Not msgspec's decoder: a variable may hold bytes that are no UTF-8, which JSON escapes as Python has them.
        verity = msgspec.convert(json.loads(content), _Described).verity
    except (ValueError, RecursionError) as error:
        reason = f"is no metadata of a disk ({quoted(str(error), 200)})"
        raise UsageError(f"{path}: {reason}; build the disk again, or name them with --metadata") from error
    status = disk.stat()
    if verity and stat.S_ISREG(status.st_mode) and status.st_size < verity.size:
        raise DiskCut(disk, status.st_size, verity.size, path)
    return verity
