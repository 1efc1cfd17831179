"""An empty disk for what a guest writes: `boot --data` and a machine's configuration give it to a read-only root."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from builder.disk.ext4.blank import make_blank
from builder.disk.filesystem import DiskFacts
from builder.errors import OutputError, UsageError
from builder.events import Listener, ignore
from builder.exact import read_at
from builder.files.descriptors import opened
from builder.files.holes import written_pieces
from builder.files.workspace import workspace_of
from builder.output.checks import check_side_output, named_output, resolve_output
from builder.output.failures import failures_named
from builder.output.publish import Draft, publish
from builder.words import quoted

_ADVICE = "choose another output"


class DataDiskThere(OutputError):
    """Where an empty disk was to be there is a file already, which may hold what a guest wrote."""

    def __init__(self, path: str) -> None:
        reason = "exists and may hold what a guest wrote, so it stays; name another, or lose it with --force"
        super().__init__(path, reason)


@dataclass(frozen=True, slots=True)
class BlankResult:
    """An empty disk: where it is, and what it is; not `built` if it was there already, with just these bytes."""

    output: Path
    disk: DiskFacts
    built: bool = True


def blank(
    output: Path | str,
    size: int,
    *,
    label: str = "",
    uuid: UUID | None = None,
    force: bool = False,
    wait: bool = True,
    listen: Listener = ignore,
) -> BlankResult:
    """Make an empty ext4 of `size` bytes, rounded up to whole blocks of 4096, at `output`.

    The same size, label and UUID give the same bytes; the UUID derives from size and label by default. The disk appears
    complete and synced, or not at all. One that is there is left as it is if it is this very one, on which nobody has
    written yet; anything else that is there, but for an empty file, is somebody's: DataDiskThere, unless `force`
    replaces it. Another process that makes the same output is waited for, unless `wait` is false. Raises BuilderError.
    """
    target = named_output(output, "NAME.ext4")
    if target.suffix == ".erofs":
        raise UsageError(f"{quoted(str(output))}: an empty disk is written to, and so is an ext4; call it NAME.ext4")
    with failures_named(advice=_ADVICE):
        check_side_output(target)
        place = resolve_output(target)
    with workspace_of(place, listen, wait=wait) as work:
        draft = Draft(work, "disk", place)
        with failures_named(draft.path, _ADVICE):
            disk = make_blank(draft.path, work.path, size, label, uuid)
            # As late as possible: what somebody else puts there meanwhile is theirs, too.
            if not force and _is_taken(place):
                if _same(draft.path, place):
                    return BlankResult(place, disk, built=False)
                raise DataDiskThere(str(target))
            publish(draft)
    return BlankResult(place, disk)


def _is_taken(place: Path) -> bool:
    return os.path.lexists(place) and place.stat().st_size > 0


def _same(one: Path, other: Path) -> bool:
    """Tell whether two files have the same bytes; holes are not read."""
    with opened(one, os.O_RDONLY) as first, opened(other, os.O_RDONLY) as second:
        size = os.fstat(first).st_size
        if os.fstat(second).st_size != size:
            return False
        return all(
            read_at(first, length, start) == read_at(second, length, start)
            for written in (first, second)
            for start, length in written_pieces(written, size)
        )
