"""The recipe of a disk, kept with it: so the next build sees that it would make the same one again.

It is kept twice: in the metadata beside the disk, if there is any, and in an extended attribute of the disk, where the
file system has those. Either is believed only as long as the disk has the size and the time of modification that it had
when it was published; mounting a disk for writing changes the second. Neither is believed where it is another user's:
who may write where root builds could put any disk there, with a record to match. Metadata have no clock in them, so
their file gets the disk's time. The time of the last change of the inode (ctime) is not asked for: links, new owners
and copies that keep everything else change it.
"""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from builder.disk.filesystem import DiskFacts
from builder.disk.verity import Verity
from builder.errors import UsageError
from builder.guest.facts import Resolved
from builder.output.beside import MAX_METADATA, read_json
from builder.output.kept_contents import pack_contents, unpack_contents
from builder.output.recipe import Recipe
from builder.output.schema import RecordedConfig, RecordedDisk
from builder.tree.contents import Contents

NO_DISK = "no disk"

_ATTRIBUTE = "user.rootfs-builder"


@dataclass(frozen=True, slots=True)
class KnownDisk:
    """A disk of which it is known what it was made from; `digest` is its sha256 in hex, where somebody hashed it.

    `guest` is what the image's own files say of the process that boots, where one does. `contents` are not
    known where the extended attribute had no room for them.
    """

    facts: DiskFacts
    mtime_ns: int
    digest: str | None = None
    guest: Resolved | None = None
    contents: Contents | None = None


class _Attribute(msgspec.Struct):
    recipe: str
    mtime: int
    disk: RecordedDisk
    tools: dict[str, str]
    verity: Verity | None = None
    guest: Resolved | None = None
    contents: str = ""


class _Image(msgspec.Struct):
    config: RecordedConfig


class _Metadata(msgspec.Struct):
    builder: str
    image: _Image
    options: dict[str, Any]
    disk: RecordedDisk
    tools: dict[str, str]
    verity: Verity | None = None
    guest: Resolved | None = None
    contents: Contents | None = None
    pulled_from: str | None = msgspec.field(name="pulledFrom", default=None)

    def recipe(self) -> Recipe:
        """Tell by what the disk was made."""
        return Recipe(self.image.config.digest, self.options, self.tools, self.builder)


def keep_recipe(disk: Path, recipe: str, facts: DiskFacts, guest: Resolved | None, contents: Contents) -> KnownDisk:
    """Keep with a finished disk what it was made from, where its file system can."""
    known = KnownDisk(facts, disk.stat().st_mtime_ns, guest=guest, contents=contents)
    described = RecordedDisk.of(facts)
    # If nothing can be kept, the disk is built once more than necessary; if only its contents cannot, that is so where
    # metadata are asked for.
    for kept in (pack_contents(contents), ""):
        attribute = _Attribute(recipe, known.mtime_ns, described, facts.tools, facts.verity, guest, kept)
        # Not msgspec's encoder: a home may hold bytes that are no UTF-8, which JSON escapes as Python has them.
        value = json.dumps(msgspec.to_builtins(attribute), separators=(",", ":")).encode()
        with suppress(OSError):
            os.setxattr(disk, _ATTRIBUTE, value)
            break
    return known


def known_disk(disk: Path, recipe: Recipe, metadata: Path | None, *, checked: bool) -> KnownDisk | None:
    """Say what is known of the disk of an earlier build, if it was made by this recipe and is as it was then.

    With `checked` it must have been checked, too; and its contents must be known, if `metadata` are to tell them.
    """
    try:
        status = disk.stat()
    except OSError:
        return None
    if not _is_ours(status):
        return None
    wanted = recipe.digest()
    for known in (_by_metadata(metadata, wanted) if metadata else None, _by_attribute(disk, wanted)):
        if known is None or (checked and not known.facts.checked) or (metadata and not known.contents):
            continue
        if (known.facts.size, known.mtime_ns) == (status.st_size, status.st_mtime_ns):
            return known
    return None


def reason_to_build(disk: Path, recipe: Recipe, metadata: Path | None, *, checked: bool) -> str:
    """Say in a few words why `known_disk` knew nothing of a disk, as far as its metadata tell."""
    try:
        status = disk.stat()
    except OSError:
        return NO_DISK
    if not _is_ours(status):
        return "disk is another user's"
    if metadata is None or (read := _read_metadata(metadata)) is None:
        return "no record of what the disk was made from"
    record, mtime_ns = read
    if (difference := recipe.difference(record.recipe())) is not None:
        return difference
    if checked and not record.disk.checked:
        return "disk was not checked"
    if not record.contents:
        return "no record of what the disk holds"
    if (record.disk.size, mtime_ns) != (status.st_size, status.st_mtime_ns):
        return "disk was changed"
    return "what boots changed"


def _by_metadata(path: Path, wanted: str) -> KnownDisk | None:
    if (read := _read_metadata(path)) is None:
        return None
    record, mtime_ns = read
    if record.recipe().digest() != wanted:
        return None
    return KnownDisk(
        record.disk.facts(record.tools, record.verity), mtime_ns, record.disk.sha256, record.guest, record.contents
    )


def _read_metadata(path: Path) -> tuple[_Metadata, int] | None:
    """Read metadata that this user wrote, and their time of modification; None for what is nothing of the kind."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not _is_ours(status):
                return None
            content = file.read(MAX_METADATA + 1)
            record = read_json(content, _Metadata, path) if len(content) <= MAX_METADATA else None
            # What was pulled is the word of a registry, whatever time the file was given since.
            return (record, status.st_mtime_ns) if record and record.pulled_from is None else None
    except (OSError, UsageError):
        return None


def _by_attribute(disk: Path, wanted: str) -> KnownDisk | None:
    try:
        kept = msgspec.convert(json.loads(os.getxattr(disk, _ATTRIBUTE)), _Attribute)
        contents = unpack_contents(kept.contents) if kept.contents else None
    except (OSError, ValueError, RecursionError):
        return None
    if kept.recipe != wanted:
        return None
    return KnownDisk(kept.disk.facts(kept.tools, kept.verity), kept.mtime, guest=kept.guest, contents=contents)


def _is_ours(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
