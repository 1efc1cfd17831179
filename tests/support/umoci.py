"""Layers of entries given to `umoci unpack`, another implementation of the same specification."""

from __future__ import annotations

import subprocess
from pathlib import Path

from support import images, tars
from support.entries import Layer

from builder.archive.entry import Entry, Kind
from builder.tree.entries import Entries
from builder.tree.merge import apply_layer
from builder.tree.spool import Spool
from builder.tree.tree import Tree

TYPEFLAGS = {
    Kind.FILE: b"0",
    Kind.HARDLINK: b"1",
    Kind.SYMLINK: b"2",
    Kind.CHARACTER: b"3",
    Kind.BLOCK: b"4",
    Kind.DIRECTORY: b"5",
    Kind.FIFO: b"6",
}


def content(entry: Entry) -> bytes:
    """What a file of this size holds, here and there."""
    return (b"%d " % entry.size * entry.size)[: entry.size]


def tar(layer: Layer) -> bytes:
    """A layer as a tar stream."""
    return tars.tar(*(member(entry) for entry, _ in layer))


def member(entry: Entry) -> bytes:
    whole, fraction = divmod(entry.mtime_ns, 1_000_000_000)
    return tars.member(
        entry.path + (b"/" if entry.kind is Kind.DIRECTORY else b""),
        TYPEFLAGS[entry.kind],
        content(entry),
        link=entry.link,
        mode=entry.mode,
        uid=entry.uid,
        gid=entry.gid,
        mtime=f"{whole}.{fraction:09}" if fraction else whole,
        major=entry.major,
        minor=entry.minor,
        xattrs=dict(entry.xattrs.items()),
    )


def unpack(scratch: Path, layers: list[Layer]) -> tuple[Path, str]:
    """Let umoci unpack an image of these layers; return the root file system and what umoci says of a failure."""
    images.layout(scratch / "image", images.Spec(layers=tuple(tar(layer) for layer in layers)))
    argv = ["umoci", "unpack", "--image", f"{scratch}/image:latest", f"{scratch}/bundle"]
    ran = subprocess.run(argv, capture_output=True, text=True, check=False)
    return scratch / "bundle/rootfs", ran.stderr if ran.returncode else ""


def merged(layers: list[Layer], spool: Spool) -> Tree:
    """Apply the same layers here, with the same content."""
    tree = Tree()
    for number, layer in enumerate(layers, start=1):
        spooled = Entries((entry, spool.keep(content(entry))) for entry, _ in layer)
        apply_layer(tree, f"layer {number}", spooled)
    return tree
