"""The metadata of a disk as documents: the parts that `metadata.py` writes, and what of the whole each reader needs.

No reader asks for more than it depends on: other versions wrote less or will write more, and what is wrong with the
rest refuses nothing. What needs more than this names it where it is read: known_disk.py, batch/worker.py.
"""

from __future__ import annotations

from typing import Any, Self
from uuid import UUID

import msgspec

from builder.disk.filesystem import DiskFacts
from builder.disk.verity import Verity


class RecordedDisk(msgspec.Struct, rename="camel"):
    """All that is written of a disk itself; sizes in bytes, `sha256` in hex."""

    format: str
    uuid: UUID
    size: int
    block_size: int
    inodes: int
    checked: bool = False
    sandbox: str = "none"
    sha256: str | None = None

    @classmethod
    def of(cls, disk: DiskFacts, sha256: str | None = None) -> Self:
        """Put on record what was packed."""
        return cls(disk.format, disk.uuid, disk.size, disk.block_size, disk.inodes, disk.checked, disk.sandbox, sha256)

    def facts(self, tools: dict[str, str], verity: Verity | None) -> DiskFacts:
        """Tell what was packed, by the tools and with the hash tree that are on record beside it."""
        return DiskFacts(
            self.format, self.uuid, self.size, self.block_size, self.inodes, tools, verity, self.checked, self.sandbox
        )


class RecordedManifest(msgspec.Struct, rename="camel"):
    """The manifest of the image that a disk was made of, where it has one."""

    media_type: str
    digest: str | None = None
    size: int | None = None


class RecordedConfig(msgspec.Struct):
    """The config of the image that a disk was made of."""

    digest: str


class Described(msgspec.Struct):
    """All that a machine needs to boot a disk."""

    builder: str
    verity: Verity | None = None


class HandedDisk(msgspec.Struct):
    """A disk as such; `sha256` in hex."""

    format: str
    size: int
    sha256: str


class HandedImage(msgspec.Struct):
    """The image that a disk was made of, for those who hand it on."""

    reference: str
    platform: str
    manifest: RecordedManifest


class Record(msgspec.Struct, rename="camel"):
    """What metadata say of a disk that concerns those who hand it on; command lines by VMM.

    `pulled_from` says from where they were pulled with it, if they were not made here.
    """

    builder: str
    disk: HandedDisk
    image: HandedImage | None = None
    verity: Verity | None = None
    kernel_command_line: dict[str, str] = {}
    pulled_from: str | None = None


class MadeOf(msgspec.Struct):
    """The image that a disk was made of, and is made of again."""

    reference: str
    config: RecordedConfig


class MadeDisk(msgspec.Struct):
    """A disk as it was made; `sha256` in hex."""

    sha256: str | None = None


class MadeGuest(msgspec.Struct):
    """What boots; its init is in an `initrd`, or on the disk."""

    initrd: Any = None


class Made(msgspec.Struct, rename="camel"):
    """How a disk was made: enough to make its tree once more; `pulled_from` is by whose word, if not made here."""

    builder: str
    image: MadeOf
    options: dict[str, Any]
    disk: MadeDisk
    tools: dict[str, str]
    guest: MadeGuest | None = None
    verity: Verity | None = None
    pulled_from: str | None = None
