"""What a build can be told, and how each of it is written: on the command line and in lists of images alike."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from builder.disk import FILESYSTEMS
from builder.disk.filesystem import Compression, parse_compression
from builder.errors import UsageError
from builder.image.platform import Platform
from builder.limits import Limits
from builder.sources.access import Access

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_MAX_SIZE = (1 << 63) - 1  # off_t


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How to build a disk; what is None is chosen by the build. Sizes in bytes.

    `format` is a key of FILESYSTEMS, by default told from the output's name; `source_date_epoch` (seconds since
    1970) is the latest time that any file keeps; `workdir` holds the temporary files, by default beside the output;
    `access` says how images are reached and what is kept of them;
    `force` lets the output replace a file that is no disk; `metadata_file` and `depfile` are written with the disk.
    """

    platform: Platform | None = None
    format: str | None = None
    size: int | None = None
    free: int = 0
    inodes: int | None = None
    journal: bool = True
    label: str = ""
    uuid: UUID | None = None
    compress: Compression | None = None
    dedupe: bool = False
    fragments: bool = False
    limits: Limits = field(default_factory=Limits)
    access: Access = field(default_factory=Access)
    source_date_epoch: int | None = None
    workdir: Path | None = None
    force: bool = False
    metadata_file: Path | None = None
    depfile: Path | None = None

    def describe(self) -> dict[str, object]:
        """Describe, as plain JSON values, what of these options decides the bytes of the disk."""
        return {
            "platform": None if self.platform is None else str(self.platform),
            "format": self.format,
            "size": self.size,
            "free": self.free,
            "inodes": self.inodes,
            "journal": self.journal,
            "label": self.label,
            "uuid": None if self.uuid is None else str(self.uuid),
            "compress": None if self.compress is None else str(self.compress),
            "dedupe": self.dedupe,
            "fragments": self.fragments,
            "sourceDateEpoch": self.source_date_epoch,
        }


def parse_size(text: str) -> int:
    """Read a size in bytes: a number, or one with K, M, G or T for powers of 1024 (`512M`, `1.5G`, `2GiB`)."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)(?:iB)?", text.strip(), re.IGNORECASE | re.ASCII)
    if match is None:
        raise UsageError(f"{text!r} is not a size; write it as 4096, 512M or 1.5G (powers of 1024)")
    size = int(Decimal(match[1]) * _UNITS[match[2].upper()])
    if size > _MAX_SIZE:
        raise UsageError(f"{text[:100]!r} is more bytes than a file can have")
    return size


def parse_uuid(text: str) -> UUID:
    """Read a UUID in its usual form (RFC 9562, section 4)."""
    try:
        return UUID(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a UUID; write it as 01234567-89ab-cdef-0123-456789abcdef") from None


def parse_count(text: str) -> int:
    """Read a positive whole number."""
    if not re.fullmatch(r"\d{1,18}", text, re.ASCII) or int(text) == 0:
        raise UsageError(f"{text!r} is not a number above zero")
    return int(text)


def parse_switch(text: str) -> bool:
    """Read yes or no."""
    if text not in ("yes", "no"):
        raise UsageError(f"{text!r} is neither yes nor no")
    return text == "yes"


def parse_format(text: str) -> str:
    """Read the name of a file system format."""
    if text not in FILESYSTEMS:
        raise UsageError(f"{text!r} is not a format; there are {' and '.join(sorted(FILESYSTEMS))}")
    return text


# Option names as in lists of images (`size=2G`); the command line spells them `--size 2G`.
PARSERS: dict[str, Callable[[str], Any]] = {
    "platform": Platform.parse,
    "format": parse_format,
    "size": parse_size,
    "free": parse_size,
    "inodes": parse_count,
    "journal": parse_switch,
    "label": str,
    "uuid": parse_uuid,
    "compress": parse_compression,
    "dedupe": parse_switch,
    "fragments": parse_switch,
}
