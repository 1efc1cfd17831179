"""`rootfs-builder verify`: a disk held against the image that it was made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from builder.actions.fetching import fetching_apart
from builder.actions.verification import Verification
from builder.actions.verify import recorded_reference
from builder.actions.verify import verify as verify_disk
from builder.cli.command import Command
from builder.cli.console import Console
from builder.cli.options import build_options, table_options
from builder.cli.types import DISK, FILE, IMAGE
from builder.errors import UsageError
from builder.output.render import render_json
from builder.sizes import counted

_COMPARED = "type, mode, owner, size, content, target, device, attributes, hardlinks, time"


@click.command(cls=Command)
@click.argument("disk", type=DISK)
@click.argument("image", type=IMAGE, required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
@click.option("--quick", is_flag=True, help="Look at the disk's recorded sha256 only.")
@click.option("--metadata", type=FILE, help="What --metadata-file wrote of DISK; by default DISK.json, if there.")
@table_options("verify")
@click.pass_obj
def verify(
    console: Console,
    /,
    disk: Path | str,
    image: str | None,
    as_json: bool,
    quick: bool,
    metadata: Path | None,
    **options: Any,
) -> int:
    """Hold DISK against IMAGE, or against the image that its metadata name.

    DISK is ext4 or erofs, of this program or of any other. It is not mounted, and not written to.
    Every name is compared with the tree of IMAGE, with what --add, --add-tar and --remove made of
    it and with init, as the metadata say: type, mode, owner, size, content, link target, device,
    extended attributes, flags of chattr, hardlinks, and times as the format holds them; of a disk
    that has metadata, and so was made here, permissions of symlinks, and holes of an ext4. Then
    e2fsck or fsck.erofs checks the disk, and the hash tree of --verity and the recorded sha256 are
    held against it.

    Prints a line for each difference, and for each fault. Exit status: 0 there is none; 1 there is;
    4 fsck.erofs is too old to tell.

    \b
    Examples:
      rootfs-builder verify rootfs.ext4
      rootfs-builder verify rootfs.erofs oci:layout:latest
      rootfs-builder verify rootfs.ext4 --quick
      rootfs-builder verify rootfs.ext4 --json | jq .differences
    """
    if isinstance(disk, str):
        raise UsageError(f"{disk}: is not here; pull it, and verify that")
    chosen = build_options(**options)
    reference = None if quick else image or recorded_reference(disk, metadata)
    with fetching_apart(reference, chosen.sandbox):
        found = verify_disk(disk, image, chosen, console.listener(), metadata=metadata, quick=quick)
    for remark in found.remarks:
        console.notice(f"{disk}: {remark}")
    if as_json:
        console.answer(render_json(_described(found)).rstrip())
    else:
        console.answer_in_pieces(f"{line}\n".encode("utf-8", "surrogateescape") for line in _lines(found))
    if not as_json:
        console.say(f"{disk}: {_outcome(found, quick)}")
    return 0 if found.equal else 1


def _lines(found: Verification) -> list[str]:
    more = [f"and {found.more} differences more"] if found.more else []
    return [*map(str, found.faults), *map(str, found.differences), *more]


def _outcome(found: Verification, quick: bool) -> str:
    count = len(found.faults) + len(found.differences) + found.more
    if quick:
        return "has another sha256 than was recorded" if count else f"has the recorded sha256, {found.actual}"
    compared = f"{counted(found.names, 'name')} compared with {found.reference} ({_COMPARED})"
    if count:
        return f"{counted(count, 'difference')}; {compared}"
    checked = ", hash tree checked" if found.has_verity else ""
    return f"equal; {compared}{checked}"


def _described(found: Verification) -> dict[str, Any]:
    return {
        "disk": str(found.disk),
        "format": found.format,
        "image": found.reference and {"reference": found.reference, "config": found.config},
        "equal": found.equal,
        "names": found.names,
        "faults": [{"by": fault.by, "finding": fault.finding} for fault in found.faults],
        "differences": [
            {
                "path": each.path.decode("utf-8", "surrogateescape"),
                "what": each.what,
                "found": each.found,
                "expected": each.expected,
            }
            for each in found.differences
        ],
        "more": found.more,
        "sha256": found.actual and {"recorded": found.recorded, "actual": found.actual},
        "verity": found.has_verity,
        "remarks": found.remarks,
    }
