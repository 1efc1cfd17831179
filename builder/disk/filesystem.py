"""The seam between the merged tree and the tools that pack it: options in, facts out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import UUID

from builder.events import Listener
from builder.tree.spool import Spool
from builder.tree.tree import Tree


@dataclass(frozen=True, slots=True)
class Compression:
    """An erofs compression: `algorithm` as mkfs.erofs spells it and its level, or the tool's default level."""

    algorithm: str
    level: int | None = None


@dataclass(frozen=True, slots=True)
class DiskOptions:
    """How to pack a tree. Sizes are in bytes; what is None is computed.

    `seed` is 32 bytes that stand for the content; UUIDs and hash seeds that nobody chose derive from it.
    `epoch` is the time stamped on the file system itself, in seconds since 1970.
    """

    seed: bytes
    epoch: int = 1
    uuid: UUID | None = None
    label: str = ""
    size: int | None = None
    free: int = 0
    inodes: int | None = None
    journal: bool = True
    compression: Compression | None = None
    dedupe: bool = False
    fragments: bool = False


@dataclass(frozen=True, slots=True)
class DiskFacts:
    """What was packed: sizes in bytes, `inodes` in use, and the version of each tool that took part."""

    format: str
    uuid: UUID
    size: int
    block_size: int
    inodes: int
    tools: dict[str, str]


class Filesystem(Protocol):
    """One file system format: packs a tree into an image file."""

    name: str

    def check(self, options: DiskOptions) -> None:
        """Refuse options this format or its installed tools cannot honour, before any layer is read.

        Raises UsageError, or MissingRequirement naming what to install.
        """
        ...

    def pack(
        self, tree: Tree, spool: Spool, options: DiskOptions, scratch: Path, output: Path, listen: Listener
    ) -> DiskFacts:
        """Write the image to `output`, which does not exist yet; temporary files go below `scratch`.

        Raises TreeRefused for what the format cannot hold, DiskTooSmall, ToolFailed.
        """
        ...
