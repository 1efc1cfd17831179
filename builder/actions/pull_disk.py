"""Bring a disk from a registry, byte for byte as it was pushed, with its metadata beside it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from builder.actions.confinement import Places, confine
from builder.actions.remote_disk import RemoteDisk, remote_disk
from builder.artifact.attached import PROVENANCE, SBOM
from builder.disk.digest import disk_digest
from builder.errors import BuilderError, OutputError
from builder.events import Listener, Meter, Stage, ignore
from builder.files.workspace import workspace_of
from builder.form import as_path
from builder.image.digest import Digest
from builder.image.name import ImageName
from builder.limits import Limits
from builder.output.beside import mark_pulled, metadata_path, read_as
from builder.output.checks import (
    check_apart,
    check_distinct,
    check_output,
    check_side_output,
    named_output,
    resolve_output,
)
from builder.output.failures import failures_named
from builder.output.publish import Content, Draft, publish_in_order, staged
from builder.output.schema import Record
from builder.registry.fetched import FetchedOrigin
from builder.registry.origin import Origin
from builder.sandbox.policy import AUTO, policy
from builder.sources.access import Access

_ADVICE = "choose another output"
# Metadata of the disk's own time are believed about what it was made from (known_disk.py). A registry's must not be, so
# they are made older.
_OLDER_NS = 10 * 10**9


@dataclass(frozen=True, slots=True)
class PulledDisk:
    """A disk that is here now: where, its full name and manifest's digest in the registry, and its metadata's file.

    It is not `fetched` if it was here already, with just these bytes. Sizes in bytes.
    """

    output: Path
    name: ImageName
    digest: Digest
    format: str
    size: int
    metadata: Path | None
    fetched: bool


def pull_disk(
    reference: str,
    output: Path | str,
    access: Access | None = None,
    *,
    metadata_file: Path | str | None = None,
    provenance: Path | str | None = None,
    sbom: Path | str | None = None,
    limits: Limits | None = None,
    force: bool = False,
    wait: bool = True,
    sandbox: str = AUTO,
    listen: Listener = ignore,
) -> PulledDisk:
    """Write the disk at `reference`, docker://REGISTRY/REPO[:TAG][@DIGEST], to `output`.

    It is verified against its digest, has holes where it is empty, and appears complete and synced, or not at all; then
    the metadata that came with it, marked as pulled, in `metadata_file`, by default OUTPUT.json. What was pushed with
    it about this very disk goes to `provenance` and `sbom`, where that is wanted, before it; nobody has signed that.
    What a key is to have signed is disk and metadata. An older disk is replaced, anything else only with `force`; one
    that has just these bytes stays. Raises UsageError, OutputError, ImageRefused, among them Unsigned, and other
    BuilderError.
    """
    target = named_output(output)
    beside = as_path(metadata_file) or metadata_path(target)
    asked = ((PROVENANCE, as_path(provenance)), (SBOM, as_path(sbom)))
    wanted = {kind: path for kind, path in asked if path is not None}
    access = access or Access()
    with failures_named(advice=_ADVICE):
        check_distinct([target, beside, *wanted.values()])
        check_apart([target, beside, *wanted.values()], access.inputs())
        check_output(target, force)
        for path in (beside, *wanted.values()):
            check_side_output(path)
        place = resolve_output(target)
    written = [resolve_output(path).parent for path in (target, beside, *wanted.values())]
    with (
        policy(sandbox),
        remote_disk(reference, access, limits or Limits(), listen, lambda origins: _confine(origins, written)) as found,
        workspace_of(place, listen, wait=wait) as work,
    ):
        record = found.metadata()
        if record is not None:
            record = mark_pulled(record, f"docker://{found.name.repository}@{found.digest}")
        _check_metadata(target, beside, record, force)
        attached = [Content(path, found.attached(kind, listen)) for kind, path in wanted.items()]
        draft = Draft(work, "disk", place)
        fetched = not _is_here(place, found, listen)
        with failures_named(draft.path, _ADVICE):
            if fetched:
                listen(Stage("pulling the disk", found.artifact.layer.size))
                found.fetch(draft.path, Meter(listen))
            time = (draft.path if fetched else place).stat().st_mtime_ns - _OLDER_NS
            after = [] if record is None else [Content(beside, record, time)]
            with staged(attached, listen) as first, staged(after, listen) as last:
                publish_in_order((*first, *([draft] if fetched else []), *last))
    disk = found.artifact.disk
    return PulledDisk(
        target, found.name, found.digest, disk.format, disk.size, beside if record is not None else None, fetched
    )


def _confine(origins: Sequence[Origin], written: Sequence[Path]) -> None:
    """Give up all but the directories of what is to be written, before a word of a registry's is read."""

    def find() -> Places | str:
        fetched = [each for each in origins if isinstance(each, FetchedOrigin)]
        if len(fetched) < len(origins):
            return "this process fetches the disk itself: run it from the command line"
        for each in fetched:
            each.stay()
        return Places(changed=written)

    confine(find)


def _is_here(place: Path, found: RemoteDisk, listen: Listener) -> bool:
    with suppress(OSError):
        if place.is_file() and os.path.getsize(place) == found.artifact.disk.size:
            listen(Stage("hashing the disk that is here"))
            return disk_digest(place) == found.artifact.disk.digest.hex
    return False


def _check_metadata(disk: Path, beside: Path, record: bytes | None, force: bool) -> None:
    """See that no file is lost that is no metadata, and that none stays that is about another disk."""
    looked_at = metadata_path(disk)
    if looked_at.is_file() and (record is None or resolve_output(looked_at) != resolve_output(beside)):
        without = "which comes without any" if record is None else f"whose own go to {beside}"
        raise OutputError(str(looked_at), f"would be taken for metadata of the disk, {without}; remove it")
    # A link to nowhere is followed when it is written, and holds nothing until then.
    if record is None or force or not beside.exists() or beside.stat().st_size == 0:
        return
    try:
        read_as(Record, disk, beside)
    except (BuilderError, OSError) as error:
        reason = "exists and is no metadata of a disk; name another --metadata-file, or add --force"
        raise OutputError(str(beside), reason) from error
