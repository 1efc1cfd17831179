"""What metadata say of how a disk was made: enough to make its tree once more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from builder.disk.verity import Verity
from builder.output.beside import read_as


class MadeConfig(msgspec.Struct):
    """The config of the image that a disk was made of."""

    digest: str


class MadeOf(msgspec.Struct):
    """The image that a disk was made of."""

    reference: str
    config: MadeConfig


class MadeDisk(msgspec.Struct):
    """A disk as it was made; `sha256` in hex."""

    sha256: str | None = None


class MadeGuest(msgspec.Struct):
    """What boots; its init is in an `initrd`, or on the disk."""

    initrd: Any = None


class Made(msgspec.Struct, rename="camel"):
    """How a disk was made (see metadata.py); `pulled_from` is by whose word, if it was not made here."""

    builder: str
    image: MadeOf
    options: dict[str, Any]
    disk: MadeDisk
    tools: dict[str, str]
    guest: MadeGuest | None = None
    verity: Verity | None = None
    pulled_from: str | None = None


def read_made(disk: Path, metadata: Path | None = None) -> Made | None:
    """Tell how a disk was made, by the file `metadata`, or by the one beside it; None without one.

    Raises UsageError for a file that is none of ours, and OSError for one that cannot be read.
    """
    return read_as(Made, disk, metadata)
