"""The seam between the merged tree and the tools that pack it: options in, facts out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self
from uuid import UUID

from builder.disk.verity import Verity
from builder.errors import UsageError
from builder.events import Listener
from builder.form import COUNT, IDENTITY, SIZE, SWITCH, TEXT, Form
from builder.option import DISK, option
from builder.tree.spool import Spool
from builder.tree.tree import Tree
from builder.words import quoted

if TYPE_CHECKING:
    from builder.disk.reading import Reader

# Disks are whole numbers of these, in bytes: drives have sectors of 512 or 4096, and VMMs refuse or cut what has not.
_UNIT = 4096

# How many of its first bytes tell what an image is: superblocks begin at 1024.
HEAD = 4096

# Algorithm: its levels. From 100 on lzma has the same presets as from 0 on, with xz's --extreme.
COMPRESSION_LEVELS: Mapping[str, frozenset[int]] = {
    "lz4": frozenset(),
    "lz4hc": frozenset(range(13)),
    "lzma": frozenset(range(10)) | frozenset(range(100, 110)),
    "deflate": frozenset(range(10)),
    "zstd": frozenset(range(23)),
}


@dataclass(frozen=True, slots=True)
class Compression:
    """An erofs compression: `algorithm` as mkfs.erofs spells it and its level, or the tool's default level.

    Raises UsageError for an algorithm or a level that no erofs-utils knows. `str` gives `algorithm[:level]`.
    """

    algorithm: str
    level: int | None = None

    def __post_init__(self) -> None:
        levels = COMPRESSION_LEVELS.get(self.algorithm)
        if levels is None:
            known = ", ".join(COMPRESSION_LEVELS)
            raise UsageError(f"{quoted(self.algorithm)} is no erofs compression; there are {known}")
        if self.level is None or self.level in levels:
            return
        if not levels:
            raise UsageError(f"{self}: {self.algorithm} has no levels; lz4hc has")
        ranges = "0 to 9 or 100 to 109" if 100 in levels else f"0 to {max(levels)}"
        raise UsageError(f"{self}: the level of {self.algorithm} must be {ranges}")

    def __str__(self) -> str:
        return self.algorithm if self.level is None else f"{self.algorithm}:{self.level}"


def parse_compression(text: str) -> Compression:
    """Read `ALGORITHM[:LEVEL]`, as `zstd:19`; raises UsageError."""
    algorithm, colon, level = text.partition(":")
    if not colon:
        return Compression(algorithm)
    if not re.fullmatch(r"\d{1,3}", level, re.ASCII):
        raise UsageError(f"{quoted(text)}: the level must be a number, as in zstd:19")
    return Compression(algorithm, int(level))


COMPRESSION = Form("ALGORITHM[:LEVEL]", parse_compression)


@dataclass(frozen=True, slots=True)
class DiskOptions:
    """How to pack a tree. Sizes are in bytes; what is None is computed.

    The build sets `seed`, 32 bytes that stand for the content: UUIDs and hash seeds that nobody chose derive from it;
    and `epoch`, the time stamped on the file system itself, in seconds since 1970.
    """

    seed: bytes = bytes(32)
    epoch: int = 1
    size: int | None = option(
        None, SIZE, DISK, "Size of the disk, as 512M or 2G, in whole blocks of 4096 bytes; computed by default."
    )
    free: int = option(0, SIZE, DISK, "Free space to leave on the disk, as 64M (ext4).")
    inodes: int | None = option(None, COUNT, DISK, "Inodes of the disk in all (ext4).")
    journal: bool | None = option(None, SWITCH, DISK, "Give the disk a journal, as by default without --verity (ext4).")
    label: str = option("", TEXT, DISK, "Volume label.")
    uuid: UUID | None = option(None, IDENTITY, DISK, "UUID; derived from the content by default.")
    compress: Compression | None = option(
        None, COMPRESSION, DISK, "lz4, lz4hc, lzma, deflate or zstd, as lz4hc:12, if mkfs.erofs has it (erofs)."
    )
    dedupe: bool = option(False, SWITCH, DISK, "Store equal data once (erofs).")
    fragments: bool = option(False, SWITCH, DISK, "Pack the tails of files together (erofs).")
    verity: bool = option(
        False, SWITCH, DISK, "Append a dm-verity hash tree, behind the size; the disk is read-only then."
    )
    check: bool = option(True, SWITCH, DISK, "Have e2fsck or fsck.erofs check the disk, as by default.", decides=False)

    def decided(self) -> Self:
        """These options, with a journal where nobody said, unless a hash tree forbids writing."""
        return self if self.journal is not None else replace(self, journal=not self.verity)


@dataclass(frozen=True, slots=True)
class DiskFacts:
    """What was packed: sizes in bytes, `inodes` in use, and the version of each tool that took part.

    `size` is that of the whole disk, with the hash tree that `verity` tells of, if it has one. `checked` is one in
    which the format's own tool has found no fault; `sandbox` says what was confined while it was made: `none`, the
    `tools`, or `all`, what read the layers among it.
    """

    format: str
    uuid: UUID
    size: int
    block_size: int
    inodes: int
    tools: dict[str, str]
    verity: Verity | None = None
    checked: bool = False
    sandbox: str = "none"


class Filesystem(Protocol):
    """One file system format: packs a tree into an image file, and knows one when it sees it.

    It packs fastest from a spool that keeps tails of up to `tails` bytes apart. `keeps_holes` says that it packs no
    block of zeros alone; `checks_graphs` that its checker ends soon even where directories have several names.
    """

    name: str
    tails: int
    keeps_holes: bool
    checks_graphs: bool

    def check(self, options: DiskOptions) -> dict[str, str]:
        """Refuse options this format or its installed tools cannot honour, before any layer is read.

        Returns the version of each tool that will take part. Raises UsageError, or MissingRequirement naming what to
        install.
        """
        ...

    def pack(
        self, tree: Tree, spool: Spool, options: DiskOptions, scratch: Path, output: Path, listen: Listener
    ) -> DiskFacts:
        """Write the image to `output`, which does not exist yet; temporary files go below `scratch`.

        Raises TreeRefused for what the format cannot hold, DiskTooSmall, ToolFailed, or OSError (a full disk).
        """
        ...

    def verify(self, image: Path, scratch: Path) -> None:
        """Have the format's own tool judge an image; temporary files go below `scratch`.

        Raises DiskFaulty with what it found, or ToolFailed.
        """
        ...

    def reader(self, fd: int) -> Reader:
        """Read the file system on the disk that is open as `fd`, without mounting it; raises DiskMalformed."""
        ...

    def recognises(self, head: bytes) -> bool:
        """Tell whether a file with these first HEAD bytes is an image of this format."""
        ...


def check_label(label: str, format: str, limit: int) -> None:
    """Refuse a label that does not fit a format's `limit` of bytes, or is no text; raises UsageError."""
    try:
        size = len(label.encode())
    except UnicodeEncodeError:
        raise UsageError(f"--label {quoted(label)}: is not UTF-8; write it in UTF-8") from None
    if size > limit or "\0" in label:
        raise UsageError(f"--label {quoted(label)}: {format} holds {limit} bytes and no NUL; choose a shorter one")


def rounded_up(size: int) -> int:
    """Return how many bytes the blocks of 4096 have that `size` bytes take."""
    return -(-size // _UNIT) * _UNIT


def derived_uuid(seed: bytes, purpose: str) -> UUID:
    """Derive a UUID, version 8 as RFC 9562 section 5.8 says, from `seed` for one `purpose`, such as "erofs uuid"."""
    bits = int.from_bytes(sha256(seed + b"\0" + purpose.encode()).digest()[:16], "big")
    bits &= ~(0xF << 76 | 0b11 << 62)
    return UUID(int=bits | 8 << 76 | 0b10 << 62)
