"""The metadata that stand beside a disk, and what of them others need: how its hash tree is read, what it is."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import TypeVar

import msgspec

from builder.disk.verity import Verity
from builder.errors import BuilderError, UsageError
from builder.output.schema import Described
from builder.words import quoted

# In bytes: far more than metadata take, and no more than may be held; read, they take twenty times as much.
MAX_METADATA = 16 << 20
# At the end, as `mark_pulled` writes it.
_MARK = re.compile(rb',"pulledFrom":"[^"\\]*"(\}\s*)\Z')
_Shape = TypeVar("_Shape", bound=msgspec.Struct)


class DiskCut(BuilderError):
    """A disk ends before its hash tree does; sizes in bytes."""

    def __init__(self, disk: Path, size: int, needed: int, metadata: Path) -> None:
        super().__init__(f"{disk}: has {size} bytes, and by {metadata} its hash tree ends at {needed}; build it again")
        self.size = size
        self.needed = needed


def metadata_path(disk: Path) -> Path:
    """Tell where the metadata of a disk are looked for, and where a batch writes them: DISK.json."""
    return disk.with_name(f"{disk.name}.json")


def read_as(shape: type[_Shape], disk: Path, metadata: Path | None = None) -> _Shape | None:
    """Read what `shape` (schema.py) holds of the file `metadata`, or of the one beside a disk; None without one.

    Raises UsageError for a file that is none of ours, and OSError for one that cannot be read.
    """
    path = metadata or metadata_path(disk)
    content = read_beside(path, named=metadata is not None)
    return None if content is None else read_json(content, shape, path)


def read_verity(disk: Path, metadata: Path | None = None) -> Verity | None:
    """Tell how the hash tree of a disk is read; None without one. Raises what `read_as` raises, and DiskCut."""
    described = read_as(Described, disk, metadata)
    if described is None:
        return None
    status, verity = disk.stat(), described.verity
    if verity and stat.S_ISREG(status.st_mode) and status.st_size < verity.size:
        raise DiskCut(disk, status.st_size, verity.size, metadata or metadata_path(disk))
    return verity


def mark_pulled(content: bytes, place: str) -> bytes:
    """Add to metadata, a JSON object, that they were pulled from `place`: they are not this machine's word."""
    # What is said last is what counts, for every parser of ours.
    head, brace, tail = unmarked(content).rpartition(b"}")
    return head + b',"pulledFrom":' + json.dumps(place).encode() + brace + tail


def unmarked(content: bytes) -> bytes:
    """Give metadata as they were pulled, byte for byte."""
    match = _MARK.search(content)
    return content[: match.start()] + match[1] if match else content


def read_beside(path: Path, *, named: bool) -> bytes | None:
    """Read a file about a disk whole; None where none is there, unless it was `named`.

    Raises UsageError for what is no file, or far too large for one, and OSError for what cannot be read.
    """
    # What else has that name, such as a fifo or a directory, is no metadata of this disk.
    if not named and not path.is_file():
        return None
    if path.exists() and not path.is_file():
        raise UsageError(f"{path}: is no regular file; name that of the disk")
    with path.open("rb") as file:
        content = file.read(MAX_METADATA + 1)
    if len(content) > MAX_METADATA:
        raise UsageError(f"{path}: has more than {MAX_METADATA} bytes, which are refused; name that of the disk")
    return content


def read_json(
    content: bytes,
    shape: type[_Shape],
    where: Path | str,
    what: str = "no metadata of a disk",
    advice: str = "build the disk again, or name them with --metadata",
) -> _Shape:
    """Read of a document what `shape` holds, strictly, and nothing else of it. Raises UsageError: it is `what`."""
    try:
        # Not msgspec's decoder: a variable may hold bytes that are no UTF-8, which JSON escapes as Python has them. And
        # no other encoding, which Python would guess (RFC 8259, 8.1).
        document = json.loads(content.decode("utf-8-sig"))
        # Other halves of characters stand for nothing, and fit into no name of a file.
        json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogateescape")
        return msgspec.convert(document, shape)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where}: is {what} ({quoted(str(error), 200)}); {advice}") from error
