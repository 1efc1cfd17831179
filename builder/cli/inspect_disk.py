"""What `inspect` says of a disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from builder.actions.inspect_disk import DiskLook, inspect_disk
from builder.cli.console import Console
from builder.cli.tree import room, sums_lines
from builder.options import BuildOptions
from builder.output import tree_json
from builder.output.beside import metadata_path
from builder.sizes import human_size
from builder.words import legible


def show_disk(
    console: Console,
    path: Path,
    options: BuildOptions,
    *,
    as_json: bool,
    tree: bool,
    depth: int | None,
    top: int | None,
) -> None:
    """Say what a disk is; with `tree`, where its bytes are as well. Raises BuilderError."""
    found, sums = inspect_disk(path, options, console.listener(), tree=tree)
    if as_json:
        facts, lists = _facts(found), {}
        if sums:
            facts["tree"] = {"size": sums.total.size, "files": sums.total.files}
            lists = {"directories": tree_json.directories(sums, depth), "biggest": tree_json.files(sums, top)}
        console.answer_in_pieces(tree_json.tree_json(facts, lists))
        return
    lines = [legible(f"{name + ':':14}{value}") for name, value in _words(found)]
    if sums:
        lines += ["", *sums_lines(sums, room(top, depth, 0), by_layer=False)]
    console.answer_in_pieces(f"{line}\n".encode("utf-8", "surrogateescape") for line in lines)


def _words(found: DiskLook) -> Iterator[tuple[str, str]]:
    disk, record = found.description, found.record
    yield "Disk", str(found.path)
    yield "Format", f"{disk.format}, blocks of {disk.block_size} bytes"
    yield "Size", human_size(found.size)
    if found.size < disk.size:
        yield "Cut", f"its file system has {human_size(disk.size)}; copy or build the disk again"
    used = disk.size - (disk.free or 0)
    free = "" if disk.free is None else f", {human_size(disk.free)} free"
    yield "Used", f"{human_size(max(used, 0))}{free}"
    spare = "" if disk.free_inodes is None else f", {disk.free_inodes} free"
    yield "Inodes", f"{max(disk.inodes - (disk.free_inodes or 0), 0)}{spare}"
    if disk.label:
        yield "Label", disk.label.decode("utf-8", "surrogateescape")
    yield "UUID", str(disk.uuid)
    yield "Features", " ".join(disk.features) or "none"
    if record and record.verity:
        yield "Verity", f"root hash {record.verity.root_hash}"
    elif found.hashed:
        yield "Verity", f"a hash tree, whose root hash {metadata_path(found.path).name} would tell"
    if found.unreadable:
        yield "Metadata", found.unreadable
    if record:
        yield "Metadata", str(metadata_path(found.path))
        yield "SHA-256", f"{record.disk.sha256} when it was built"
        if record.image:
            yield "Image", record.image.reference
            yield "Platform", record.image.platform
            yield "Manifest", record.image.manifest.digest or "none (its source keeps none)"


def _facts(found: DiskLook) -> dict[str, Any]:
    disk = found.description
    return {
        "disk": {
            "path": str(found.path),
            "format": disk.format,
            "size": found.size,
            "fileSystemSize": disk.size,
            "blockSize": disk.block_size,
            "free": disk.free,
            "inodes": disk.inodes,
            "freeInodes": disk.free_inodes,
            "label": disk.label.decode("utf-8", "surrogateescape"),
            "uuid": str(disk.uuid),
            "features": disk.features,
            "hashTree": found.hashed,
        },
        "metadata": msgspec.to_builtins(found.record) if found.record else None,
    }
