"""The first half of every verb that reads an image: reference, source, layers, one merged tree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

from builder.disk.filesystem import DiskOptions
from builder.events import Listener, Stage
from builder.files.workspace import Workspace, workspace
from builder.image.image import Image
from builder.layers.account import Account
from builder.layers.stream import open_layer
from builder.options import BuildOptions
from builder.output.failures import failures_named
from builder.sources import open_source
from builder.sources.access import Means
from builder.sources.source import Source, expect
from builder.tree.merge import apply_layer
from builder.tree.read import read_layer
from builder.tree.spool import Spool
from builder.tree.tree import Tree


def merge(source: Source, image: Image, spool: Spool, options: BuildOptions, listen: Listener) -> Tree:
    """Read and verify every layer of `image`, bottom first, and apply each to the tree of those below it."""
    tree = Tree()
    account = Account(options.limits)
    for layer in image.layers:
        account.packed(layer.name, layer.descriptor.size)
    expect(source, [layer.descriptor for layer in image.layers])
    for layer in image.layers:
        listen(Stage(f"reading {layer.name}", layer.descriptor.size))
        with open_layer(source, layer, account, listen) as stream:
            entries = read_layer(stream, spool)
        entries = [each for each in entries if not stream.is_bookkeeping(each[0])]
        apply_layer(tree, layer.name, entries, listen)
    if options.source_date_epoch is not None:
        tree.clamp_times(options.source_date_epoch)
    return tree


def open_image(reference: str, options: BuildOptions, scratch: Path, listen: Listener) -> Source:
    """Open the image at `reference` with the build's own scratch directory, listener and limits."""
    return open_source(reference, options.access, Means(scratch, listen, options.limits))


def disk_options(options: BuildOptions, seed: bytes) -> DiskOptions:
    """Tell the disk stage what concerns it; `seed` stands for the content."""
    # Not 0: mke2fs takes that for "now". Not negative: superblocks cannot hold it.
    return replace(options.disk, seed=seed, epoch=max(1, options.source_date_epoch or 1))


@contextmanager
def scratch_directory(options: BuildOptions, beside: Workspace, listen: Listener) -> Iterator[Path]:
    """Choose where temporary files go: the directory asked for, or the one beside the output."""
    chosen = workspace(options.tmpdir, "work", listen) if options.tmpdir else nullcontext(beside)
    with chosen as scratch, failures_named(scratch.path):
        yield scratch.path
